"""Any inference graph as an ONNX file, and any ONNX file: converted, read, tried."""
