"""Image classification: a score for each class."""
