"""The two-stage meta-architecture (Faster R-CNN, Mask R-CNN, R-FCN) and its feature extractors."""
