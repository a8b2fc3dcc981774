"""What becomes of each TensorFlow operation in ONNX: a function each, by kinds; in the table OPS all of them.

A function is given the builder (see convert.py) and the operation, writes ONNX nodes, and says what its outputs are
called. Operations over pictures work with channels first where their input is there in that layout alone; the others
with TensorFlow's own.
"""

from collections.abc import Callable

from visionport.onnx.operations import axes, control, convolutions, elementwise, gathering, matrices, pictures, shapes

KINDS = (elementwise, convolutions, pictures, axes, shapes, gathering, matrices, control)
OPS: dict[str, Callable] = {name: write for kind in KINDS for name, write in kind.OPS.items()}
