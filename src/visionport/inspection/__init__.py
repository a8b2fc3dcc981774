"""What is this file? What `visionport inspect` tells."""
