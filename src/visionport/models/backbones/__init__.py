"""Backbones: classification networks and the like, without heads."""
