"""Video classification: a score for each class of a clip."""
