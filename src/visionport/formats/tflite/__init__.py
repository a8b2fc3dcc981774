"""The TFLite format: a module an architecture."""
