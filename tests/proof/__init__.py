"""The four frameworks compute the same, and the tests see it when one does not."""
