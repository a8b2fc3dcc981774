"""The CenterNet meta-architecture, its tasks and its feature extractors."""
