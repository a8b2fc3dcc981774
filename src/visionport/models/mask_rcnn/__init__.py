"""The R-CNNs of TF Official Vision."""
