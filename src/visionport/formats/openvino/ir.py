"""OpenVINO's intermediate representation, read without OpenVINO: what a model.xml says, and whether it can be true.

The file is a stranger's, so nothing in it is believed: XML that declares entities is refused, as are weights that are
said to lie outside model.bin.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from visionport import limits
from visionport.errors import ArtifactError
from visionport.filetypes import OPENVINO, kind_of_file, open_file
from visionport.formats.base import SignatureInfo, Tensor

SIGNATURE = "serving_default"
WEIGHTS = ".bin"  # beside the .xml
DTYPES = {
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "f64": "float64",
    **{f"i{n}": f"int{n}" for n in (8, 16, 32, 64)},
    **{f"u{n}": f"uint{n}" for n in (8, 16, 32, 64)},
    "boolean": "bool",
    "string": "string",
}
# What ports call the types: "FP32", "I64", "BOOL".
PORTS = {"FP16": "f16", "FP32": "f32", "FP64": "f64", "BF16": "bf16", "BOOL": "boolean", "STRING": "string"}
BITS = {"boolean": 8, "bf16": 16, "f8e4m3": 8, "f8e5m2": 8, "f8e8m0": 8, "f4e2m1": 4, "nf4": 4}
BITS |= {f"{kind}{n}": n for kind in "iuf" for n in (1, 2, 3, 4, 6, 8, 16, 32, 64)}
ROUNDING = ("FakeQuantize", "FakeConvert")


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a model.xml says. facts: its rt_info, by path: {"model_info/labels": "cat dog"}."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    ops: Mapping[str, int]  # those of branches and loops too; Const, Parameter and Result left out
    weights: Mapping[str, int] = field(default_factory=dict)  # bytes, by type: {"f32": 123}
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def signature(self) -> SignatureInfo:
        return SignatureInfo(name=SIGNATURE, inputs=self.inputs, outputs=self.outputs)

    @property
    def precision(self) -> str:
        """What its network calculates in, and what its weights are where that is something else."""
        if any(self.ops.get(op) for op in ROUNDING):
            return "int8"
        floats = {k: v for k, v in self.weights.items() if k in ("f16", "f32", "bf16")}
        most = max(floats, key=lambda k: floats[k], default="f32")
        return "float32" if most == "f32" else f"float32 (weights {DTYPES[most]})"


def is_ir(path: Path) -> bool:
    """Whether the file at `path` is a model.xml, by its first bytes."""
    return kind_of_file(path) == OPENVINO


def weights_of(path: Path) -> Path:
    """The file of weights that belongs to a model.xml."""
    return path.with_suffix(WEIGHTS)


def read(path: Path) -> Network:
    """What the model.xml at `path` says. Raises ArtifactError for what no sound one does."""
    weights = weights_of(path)
    if not weights.is_file():
        raise ArtifactError(f"{path}: its weights are missing: {weights.name} must lie beside it.")
    with open_file(weights):  # no pipe or device
        size = weights.stat().st_size
    with open_file(path) as file:
        text = file.read(limits.IR_TEXT + 1)
    if len(text) > limits.IR_TEXT:
        raise ArtifactError(f"{path}: more than {limits.IR_TEXT:,} bytes of XML.")
    reader = Reader(size)
    try:
        reader.read(text)
    except (expat.ExpatError, ValueError, KeyError, RecursionError) as e:
        raise ArtifactError(f"{path} cannot be read as a model of OpenVINO: {str(e) or type(e).__name__}.") from None
    return reader.network()


class Reader:
    """Walks over the elements of a model.xml. size: bytes of its weights."""

    def __init__(self, size: int):
        self._size = size
        self._path: list[str] = []
        self._elements = 0
        self._name = ""
        self._layer: dict[str, str] = {}  # of the network itself, not of a body in it
        self._data: dict[str, str] = {}
        self._port: list[int] = []
        self._told: dict[str, str] = {}  # of the last port
        self._ends: dict[str, list[Tensor]] = {"Parameter": [], "Result": []}
        self._ops: Counter[str] = Counter()
        self._weights: Counter[str] = Counter()
        self._facts: dict[str, str] = {}

    def network(self) -> Network:
        ops = {k: v for k, v in sorted(self._ops.items()) if k not in ("Const", *self._ends)}
        inputs, outputs = (tuple(tensors) for tensors in self._ends.values())
        weights = dict(sorted(self._weights.items()))
        return Network(
            name=self._name, inputs=inputs, outputs=outputs, ops=ops, weights=weights, facts=dict(self._facts)
        )

    def read(self, text: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._begin, self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse
        parser.Parse(text, True)
        if not self._name:
            raise ValueError("it has no element <net>")

    def _refuse(self, *_) -> None:
        raise ValueError("it declares a document type, which no model needs")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        self._elements += 1
        if self._elements > limits.IR_ELEMENTS or len(self._path) > limits.IR_DEPTH:
            raise ValueError("it has more elements, or deeper ones, than any model")
        if len(self._path) == 1:
            if name != "net":
                raise ValueError(f"its outermost element is <{name}>, not <net>")
            self._name = attributes.get("name", "network")
        elif name == "layer":
            self._ops[attributes["type"]] += 1
        parents = self._path[-2:-1]
        if name == "data" and parents == ["layer"]:
            self._check_weights(attributes)
        if self._path == ["net", "layers", "layer"]:
            self._layer, self._data = attributes, {}
        elif self._path == ["net", "layers", "layer", "data"]:
            self._data = attributes
        elif self._path[:3] == ["net", "layers", "layer"] and name == "port" and len(self._path) == 5:
            self._port, self._told = [], attributes
        elif self._path[:2] == ["net", "rt_info"] and "value" in attributes:
            names = [*self._path[2:-1], attributes.get("name", name)]
            self._facts["/".join(names)] = attributes["value"]

    def _end(self, name: str) -> None:
        if self._path == ["net", "layers", "layer"] and self._layer.get("type") in self._ends:
            self._add_end(self._layer["type"])
        self._path.pop()

    def _text(self, text: str) -> None:
        if self._path[-1:] == ["dim"] and len(self._path) == 6:
            self._port.append(int(text))

    def _check_weights(self, attributes: Mapping[str, str]) -> None:
        if "offset" not in attributes or "size" not in attributes:
            return
        offset, size = int(attributes["offset"]), int(attributes["size"])
        kind = attributes.get("element_type", "")
        self._weights[kind] += size
        if offset < 0 or size < 0 or offset + size > self._size:
            raise ValueError(f"it has weights from {offset:,} to {offset + size:,}, and {self._size:,} bytes of them")
        shape = [int(n) for n in attributes.get("shape", "").split(",") if n.strip()]
        if min(shape, default=0) < 0 or (kind in BITS and math.prod(shape) * BITS[kind] > 8 * size):
            raise ValueError(f"it has weights of shape {shape} in {size:,} bytes")

    def _add_end(self, kind: str) -> None:
        """An input or output of the network, whose last port told what it is."""
        names = sorted(filter(None, (self._told.get("names") or self._layer.get("output_names", "")).split(",")))
        dtype = self._data.get("element_type") or dtype_of_port(self._told.get("precision", ""))
        shape = tuple(n if n >= 0 else None for n in self._port)
        name = names[0] if names else self._layer["name"]
        self._ends[kind].append(Tensor(name=name, dtype=DTYPES.get(dtype, dtype), shape=shape))


def dtype_of_port(precision: str) -> str:
    return PORTS.get(precision, precision.lower())
