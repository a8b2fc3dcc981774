"""The ONNX format: options, runner, and what writes and opens it."""
