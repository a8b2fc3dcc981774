"""Any TFLite file: read, edited, converted, checked. It knows no model."""
