"""Architectures as plain functions over a Scope. `build` (models/build.py) picks one by its name in the config."""
