"""The scripts as texts and as commands."""
