"""TF Official Vision's configs: the 31 experiments as data, YAML over them, and the dataclasses that they become."""
