"""The Object Detection API's `pipeline.config`."""
