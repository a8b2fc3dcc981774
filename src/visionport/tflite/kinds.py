"""What a TFLite file may be quantised to."""

QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "uint8", "int16x8")
CALIBRATED = ("int8", "uint8", "int16x8")  # activations too, whose ranges are measured on pictures
