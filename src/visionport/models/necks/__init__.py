"""What stands between a backbone and its heads: extra feature maps and feature pyramids."""
