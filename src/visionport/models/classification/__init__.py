"""Image classifiers of TF Official Vision."""
