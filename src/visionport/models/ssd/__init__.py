"""The SSD meta-architecture and its feature extractors."""
