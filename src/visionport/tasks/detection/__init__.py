"""Object detection: boxes, classes, scores, and what else a detection may have."""
