"""One file per framework: seed, device, and the way of parameters to and from NumPy."""
