"""What makes and guards the suite: trials, results, pictures, faults, speed, shipped weights."""
