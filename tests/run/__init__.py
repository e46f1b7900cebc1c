"""Runs: their folders, checkpoints and ends."""
