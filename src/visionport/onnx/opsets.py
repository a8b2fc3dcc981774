"""The versions of ONNX's operations that files are written in."""

OPSETS = range(13, 22)  # from 13 on reductions, slices and splits take what they do as inputs
OPSET = 17  # of 2022: read by ONNX Runtime from 1.12, OpenVINO from 2022.3, TensorRT from 8.6
