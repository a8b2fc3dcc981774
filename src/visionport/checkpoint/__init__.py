"""Checkpoints of every kind as one lazy mapping from key to array, and weights by canonical name."""
