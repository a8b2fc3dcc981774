"""TFLite Metadata: what a file's input and outputs mean, for MediaPipe, Android's ML tools and other readers.

A flatbuffer of its own (identifier M001) in one of the file's buffers, under the name TFLITE_METADATA; files such as
label lists are packed behind the model as a zip archive. The layout is that of `metadata_schema.fbs` 1.5.0 of MediaPipe
and TFLite Support: tables are written here by their fields' numbers. It comes last: no edit would keep the archive.
"""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from visionport.config import labels
from visionport.errors import OptionError
from visionport.tflite import edit
from visionport.tflite.contents import read_contents
from visionport.tflite.flatbuffer import add_metadata, metadata_of, parse, serialize
from visionport.tflite.verifier import verify_metadata

NAME, IDENTIFIER = "TFLITE_METADATA", b"M001"
LABELS = "labels.txt"
LOGITS = "logits"
# The smallest parsers that know all fields used here: output groups came with 1.2.0, custom metadata with 1.5.0.
PARSER, CUSTOM_PARSER = "1.2.0", "1.5.0"

# Values of the schema's enumerations and unions.
AXIS_LABELS, VALUE_LABELS = 2, 3  # AssociatedFileType: an output's last axis has a line each; its values are lines
FEATURE, IMAGE, BOXES = 1, 2, 3  # ContentProperties
RGB, GRAYSCALE = 1, 2  # ColorSpaceType
BOUNDARIES = 1  # BoundingBoxType
NORMALIZATION = 1  # ProcessUnitOptions

# Of MediaPipe's segmenters, in custom metadata with a layout of its own (image_segmenter_metadata_schema.fbs).
SEGMENTER, SEGMENTER_IDENTIFIER = "SEGMENTER_METADATA", b"V001"
ACTIVATIONS = {"sigmoid": 1, "softmax": 2}  # Activation; 0 is none


@dataclass(frozen=True, kw_only=True)
class Image:
    """The input: `mean` and `std` (one a channel, RGB) as clients apply them to pixels before a float32 input."""

    mean: Sequence[float]
    std: Sequence[float]
    grayscale: bool = False
    name: str = "image"


@dataclass(frozen=True, kw_only=True)
class Output:
    """What an output means. name: as readers look for it; content: one of ContentProperties.

    labels: how the lines of the label file belong to it, an AssociatedFileType; rank: of what one detection has.
    activation: what makes probabilities of a segmenter's logits, a key of ACTIVATIONS; "" where nothing has to.
    """

    name: str
    description: str
    content: int = FEATURE
    labels: int = 0
    rank: int | None = None
    activation: str = ""


# The op's outputs, by the names that readers look for.
DETECTIONS = (
    Output(
        name="location",
        description="Boxes as (ymin, xmin, ymax, xmax), from 0 to 1 of the image; rows beyond the count mean nothing.",
        content=BOXES,
        rank=2,
    ),
    Output(name="category", description="Classes, from 0: lines of the label file.", labels=VALUE_LABELS, rank=2),
    Output(name="score", description="Scores, from 0 to 1, falling.", rank=2),
    Output(name="number of detections", description="How many rows are detections."),
)
HEADS = {
    "box_encodings": "Box encodings (y, x, height, width) of all anchors.",
    "class_scores": "Scores of all anchors and classes.",
    "raw_detection_boxes": "Boxes as (ymin, xmin, ymax, xmax) of all anchors, from 0 to 1 of the image, not clipped.",
    "raw_detection_scores": "Scores of all anchors and classes.",
    "detection_keypoints": "Keypoints as (y, x) of each detection, from 0 to 1 of the image.",
    "detection_keypoint_scores": "Scores of the keypoints, from 0 to 1.",
}
CLASSES = {  # dimensions of an output that has a number for each class -> what it is
    2: "A number for each class, in the order of the label file.",
    4: "For each pixel a number for each class, in the order of the label file.",
}
FIRST = (edit.POSTPROCESS, "detection_boxes")  # the first output of files with detections


def outputs_for(shapes: Mapping[str, Sequence[int]], classes: int, activation: str = "softmax") -> dict[str, Output]:
    """What classifiers' and segmenters' outputs mean: of each that has a number for each class, by name.

    shapes: of all outputs, [1, classes] or [1, h, w, classes] among them. activation: of the latter, see Output.
    """
    fitting = {n: s for n, s in shapes.items() if len(s) in CLASSES and s[-1] == classes}
    return {
        name: Output(
            name=name,
            description=CLASSES[len(shape)],
            content=IMAGE if len(shape) == 4 else FEATURE,
            labels=AXIS_LABELS,
            activation=activation if len(shape) == 4 else "",
        )
        for name, shape in fitting.items()
    }


def in_order(names: Iterable[str]) -> list[str]:
    """Outputs as readers expect them: by name, but logits behind what was made of them.

    MediaPipe's ImageSegmenter takes the last of two outputs for the masks; its users read a classifier's first.
    """
    return sorted(names, key=lambda name: (name == LOGITS, name))


def add(
    model: bytes,
    *,
    name: str,
    description: str,
    image: Image | None,
    labels: str = "",
    outputs: Mapping[str, Output] = MappingProxyType({}),
) -> bytes:
    """The model with metadata, and with `labels` (one a line) packed behind it.

    model: a TFLite file. image: what its only input is; None where that is no image, or one of several. outputs: what
    its outputs mean, by their tensors' names, where they are neither the op's nor an SSD's heads. The same input gives
    the same bytes.
    """
    graph = read_contents(model)
    parsed = parse(model, edit=True)
    if not parsed.signatureDefs:
        ends = zip(graph.outputs, parsed.subgraphs[0].outputs, strict=True)
        edit.set_signature(parsed, {t.name: int(i) for t, i in ends})
    add_metadata(parsed, NAME, _content(graph, name, description, image, bool(labels), outputs))
    data = serialize(parsed)
    return _packed(data, {LABELS: labels}) if labels else data


def _content(graph, name: str, description: str, image: Image | None, labelled: bool, outputs) -> bytes:
    """The metadata flatbuffer: ModelMetadata with one SubGraphMetadata."""
    import flatbuffers

    b = flatbuffers.Builder(1024)
    write = _Writer(b)
    sources = [_image(write, graph.inputs[0], image)] if image else [_output(write, _plain(t)) for t in graph.inputs]
    detects = graph.outputs[0].name in FIRST
    first = DETECTIONS if detects else ()
    kinds = [*first, *(outputs.get(t.name) or _plain(t) for t in graph.outputs[len(first) :])]
    written = [_output(write, kind, labelled) for kind in kinds]
    groups = {}
    if detects:
        group = write.table(text0="detection_result", texts1=[kind.name for kind in DETECTIONS[:3]])
        groups = {"tables8": [group]}
    custom, parser = {}, PARSER
    if activations := {ACTIVATIONS[kind.activation] for kind in kinds if kind.activation}:
        custom, parser = {"tables9": [_segmenter(write, *activations)]}, CUSTOM_PARSER
    subgraph = write.table(tables2=sources, tables3=written, **groups, **custom)
    root = write.table(text0=name, text1=description, tables3=[subgraph], text7=parser)
    b.Finish(root, file_identifier=IDENTIFIER)
    return bytes(b.Output())


def _segmenter(write, activation: int) -> int:
    """CustomMetadata that tells MediaPipe's ImageSegmenter how to make probabilities."""
    import flatbuffers

    b = flatbuffers.Builder(64)
    b.Finish(_Writer(b).table(byte0=activation), file_identifier=SEGMENTER_IDENTIFIER)
    return write.table(text0=SEGMENTER, bytes1=bytes(b.Output()))


def _image(write, tensor, image: Image) -> int:
    _, height, width, _ = tensor.shape
    size = write.table(uint0=width, uint1=height)
    properties = write.table(byte0=GRAYSCALE if image.grayscale else RGB, table1=size)
    unit = write.table(byte0=NORMALIZATION, table1=write.table(floats0=image.mean, floats1=image.std))
    pixels = tensor.dtype == "uint8"
    high, low = ([v if pixels else (v - m) / s for m, s in zip(image.mean, image.std, strict=True)] for v in (255, 0))
    return write.table(
        text0=image.name,
        text1=f"An image, resized to {width}x{height}; " + ("pixels from 0 to 255." if pixels else "normalised."),
        table3=write.table(byte0=IMAGE, table1=properties),
        tables4=[unit],
        table5=write.table(floats0=high, floats1=low),
    )


def _plain(tensor) -> Output:
    """What is said of a tensor of which no more is known."""
    return Output(name=tensor.name, description=HEADS.get(tensor.name, f"{tensor.name}, {list(tensor.shape)}."))


def _output(write, kind: Output, labelled: bool = False) -> int:
    fields: dict[str, Any] = {}
    # The schema's order is left, top, right, bottom: where each stands in a row of ours.
    properties = {BOXES: {"uints0": [1, 0, 3, 2], "byte1": BOUNDARIES}, IMAGE: {"byte0": GRAYSCALE}}.get(
        kind.content, {}
    )
    whole = {"table2": write.table(int0=kind.rank, int1=kind.rank)} if kind.rank else {}
    fields["table3"] = write.table(byte0=kind.content, table1=write.table(**properties), **whole)
    if kind.labels and labelled:
        fields["tables6"] = [write.table(text0=LABELS, text1="Names of the classes.", byte2=kind.labels)]
    return write.table(text0=kind.name, text1=kind.description, **fields)


class _Writer:
    """Writes tables whose fields are given as kind and number: text0="x" is field 0, a string."""

    def __init__(self, builder):
        self.b = builder

    def table(self, **fields) -> int:
        b, slots = self.b, []
        for key, value in fields.items():
            kind, slot = key.rstrip("0123456789"), int(key[len(key.rstrip("0123456789")) :])
            make = getattr(self, f"_{kind}", None)
            slots.append((slot, kind, make(value) if make else value))
        b.StartObject(1 + max((s for s, _, _ in slots), default=-1))
        for slot, kind, value in slots:
            if kind in ("byte", "int", "uint"):
                add = {"byte": b.PrependInt8Slot, "int": b.PrependInt32Slot, "uint": b.PrependUint32Slot}[kind]
                add(slot, value, 0)
            else:
                b.PrependUOffsetTRelativeSlot(slot, value, 0)
        return b.EndObject()

    def _text(self, value: str) -> int:
        return self.b.CreateString(value)

    def _texts(self, values) -> int:
        return self._tables([self.b.CreateString(v) for v in values])

    def _tables(self, offsets) -> int:
        return self._vector(4, offsets, self.b.PrependUOffsetTRelative)

    def _floats(self, values) -> int:
        return self._vector(4, [float(v) for v in values], self.b.PrependFloat32)

    def _uints(self, values) -> int:
        return self._vector(4, values, self.b.PrependUint32)

    def _bytes(self, values: bytes) -> int:
        return self._vector(1, values, self.b.PrependByte, alignment=16)

    def _vector(self, size: int, values, prepend, alignment: int | None = None) -> int:
        self.b.StartVector(size, len(values), alignment or size)
        for value in reversed(values):
            prepend(value)
        return self.b.EndVector()


def _packed(model: bytes, files: Mapping[str, str]) -> bytes:
    """The files as an archive behind the model: stored, since readers map them, and with no date."""
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content.encode("utf-8"))
    return stream.getvalue()


def label_outputs(path: Path, sizes: Mapping[str, Sequence[int | None]]) -> tuple[str, dict[str, Output]]:
    """(the text of labels.txt, {output: what is said of it}): of each output whose last axis has that many classes."""
    counts = {key: s[-1] or 0 for key, s in sizes.items() if len(s) > 1}
    lists = {key: labels.lines(path, count) for key, count in counts.items() if count > 0}
    fitting = {key: text for key, text in lists.items() if text}
    if not fitting:
        have = ", ".join(f"{key} {list(s)}" for key, s in sizes.items())
        raise OptionError(
            f"--labels {path}: {len(labels.read_label_map(path))} names, and no output has a number for each: {have}. "
            "The list takes a line a class, one for the background where the model has that."
        )
    (text, *others) = set(fitting.values())
    if others:
        raise OptionError(f"--labels {path} fits {', '.join(fitting)}, with and without a background. Name one output.")
    about = "A number for each class, in the order of the label file."
    axis = AXIS_LABELS
    return text, {key: Output(name=key, description=about, labels=axis) for key in fitting}


# --- reading ---


def read(model: bytes, parsed) -> dict[str, Any] | None:
    """What the metadata says, ready for JSON; None for a file without. `parsed`: the file as the schema's `ModelT`."""
    data = metadata_of(parsed, NAME)
    if not data:
        return None
    verify_metadata(data)
    root = _Reader.root(data)
    graphs = [
        {
            "name": g.text(0),
            "description": g.text(1),
            "inputs": [_tensor(t) for t in g.tables(2)],
            "outputs": [_tensor(t) for t in g.tables(3)],
        }
        for g in root.tables(3)
    ]
    texts = {"name": 0, "description": 1, "version": 2, "author": 4, "license": 5, "min_parser_version": 7}
    return {key: root.text(n) for key, n in texts.items()} | {"subgraphs": graphs}


def _tensor(t) -> dict[str, Any]:
    content, stats = t.table(3), t.table(5)
    kind = {0: "", FEATURE: "feature", IMAGE: "image", BOXES: "boxes"}.get(content.byte(0), "other") if content else ""
    found: dict[str, Any] = {"name": t.text(0), "description": t.text(1), "content": kind}
    properties = content.table(1) if content else None
    if kind == "image" and properties:
        found["color_space"] = {RGB: "RGB", GRAYSCALE: "grayscale"}.get(properties.byte(0), "unknown")
    if kind == "boxes" and properties:
        found["order"] = properties.uints(0)  # where left, top, right and bottom stand
    for unit in t.tables(4):
        values = unit.table(1)
        if unit.byte(0) == NORMALIZATION and values:
            found["mean"], found["std"] = values.floats(0), values.floats(1)
    if stats:
        found["max"], found["min"] = stats.floats(0), stats.floats(1)
    return found | {"files": [f.text(0) for f in t.tables(6)]}


class _Reader:
    """Reads a table by its fields' numbers; a field that is not there is empty."""

    def __init__(self, data: bytes, position: int):
        import flatbuffers

        self.t = flatbuffers.table.Table(data, position)

    @classmethod
    def root(cls, data: bytes):
        import struct

        return cls(data, struct.unpack_from("<I", data)[0])

    def _at(self, n: int) -> int:
        offset = self.t.Offset(4 + 2 * n)
        return self.t.Pos + offset if offset else 0

    def byte(self, n: int) -> int:
        at = self._at(n)
        return self.t.Bytes[at] if at else 0

    def text(self, n: int) -> str:
        at = self._at(n)
        return self.t.String(at).decode("utf-8", "replace") if at else ""

    def table(self, n: int):
        at = self._at(n)
        return _Reader(self.t.Bytes, self.t.Indirect(at)) if at else None

    def tables(self, n: int):
        return [_Reader(self.t.Bytes, self.t.Indirect(at)) for at in self._vector(n)]

    def floats(self, n: int) -> list[float]:
        return self._numbers(n, "<f")

    def uints(self, n: int) -> list[int]:
        return self._numbers(n, "<I")

    def _numbers(self, n: int, kind: str) -> list:
        import struct

        return [struct.unpack_from(kind, self.t.Bytes, at)[0] for at in self._vector(n)]

    def _vector(self, n: int) -> range:
        """Where its entries of four bytes stand."""
        at = self._at(n)
        if not at:
            return range(0)
        offset = at - self.t.Pos
        start = self.t.Vector(offset)
        return range(start, start + 4 * self.t.VectorLen(offset), 4)
