"""The reference: differentiation, layers and optimisers in plain NumPy."""
