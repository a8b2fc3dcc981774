"""Any TensorFlow model to TFLite: what `visionport convert` and `visionport.convert` do."""
