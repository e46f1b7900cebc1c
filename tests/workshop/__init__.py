"""The programs in workshop/."""
