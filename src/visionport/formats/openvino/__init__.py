"""OpenVINO's own files: model.xml, which says what is calculated, and model.bin, the weights."""
