"""Helpers of the tests: ports, programs that tests start, little runs."""
