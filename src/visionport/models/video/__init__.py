"""Video classifiers of TF Official Vision."""
