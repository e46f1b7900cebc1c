"""Data sets, folders of pictures, batches."""
