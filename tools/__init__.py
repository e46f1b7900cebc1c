"""Programs over the suite: each is run as `python -m tools.NAME`."""
