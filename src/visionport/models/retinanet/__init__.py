"""RetinaNet of TF Official Vision: one network, dense heads, and what makes detections of them."""
