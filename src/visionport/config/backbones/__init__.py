"""Backbones as frozen dataclasses, a file a family: what decides a network's answers. No TensorFlow here."""
