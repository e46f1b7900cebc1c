"""Measures of generated images, reconstructions, translations and predictions."""
