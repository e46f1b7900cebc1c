"""Programs that a test runs in a process of its own, in a port's environment."""
