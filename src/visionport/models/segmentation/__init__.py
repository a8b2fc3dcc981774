"""Semantic segmenters of TF Official Vision."""
