"""What OpenCV's `cv2.dnn.readNetFromTensorflow` wants beside a frozen graph: the same network as a text graph.

OpenCV takes the weights from the frozen graph by name and everything else from the text: the network in ops that its
importer knows, all anchors as one constant, and its own layer `DetectionOutput` in place of the post-processing.
Reference: OpenCV, modules/dnn/src/tensorflow/tf_importer.cpp and layers/detection_output_layer.cpp.
"""

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionport.config import FixedShape, KeepAspectRatio, Normalization, Ssd
from visionport.errors import UnsupportedError
from visionport.formats import frozen_graph
from visionport.formats.base import Format, Reading, SignatureInfo, Tensor
from visionport.graph import edit
from visionport.graph.function import freeze_function
from visionport.inputs.preprocessing import padding
from visionport.progress import Progress
from visionport.verification.bounds import OTHER_RUNTIME

NAME = "opencv.pbtxt"
INPUT, OUTPUT = "image_tensor", "detection_out"
SIGNATURE = "graph"
NAMES = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
HEADS = ("box_encodings", "class_scores")

# Ops that the importer takes, and the attributes that it reads.
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
OPS = {
    **dict.fromkeys(CONVOLUTIONS, ("strides", "padding", "data_format")),
    "FusedBatchNormV3": ("epsilon", "is_training", "data_format"),
    "MaxPool": ("ksize", "strides", "padding", "data_format"),
    "AvgPool": ("ksize", "strides", "padding", "data_format"),
    "Mean": ("keep_dims",),
    "ResizeNearestNeighbor": ("align_corners", "half_pixel_centers"),
    "ResizeBilinear": ("align_corners", "half_pixel_centers"),
    "Softmax": ("axis",),
    **dict.fromkeys(("Const", "Placeholder"), ("dtype", "value", "shape")),
    **dict.fromkeys(("BiasAdd", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "ConcatV2", "Reshape", "Pad"), ()),
    **dict.fromkeys(("Relu", "Relu6", "Elu", "Sigmoid", "Tanh", "Abs", "Exp", "LeakyRelu"), ("alpha",)),
}
# The box coders' decoding as DetectionOutput has it.
CODE_TYPES = {"faster_rcnn": "CENTER_SIZE", "mean_stddev": "CORNER"}
MOST_CANDIDATES = 1000  # of a class, before suppression; ops/nms.py takes as many anchors first


def check_config(config) -> None:
    """Raises UnsupportedError where OpenCV's detection layer cannot give the model's answers."""
    if config.family != "ssd":
        raise UnsupportedError(f"{config.path}: --opencv takes SSD models only; {config.architecture} is none.")
    model: Ssd = config.model
    resizer, nms, kind = model.resizer, model.post_processing.nms, model.box_coder.kind
    fixed = isinstance(resizer, FixedShape) or (isinstance(resizer, KeepAspectRatio) and resizer.pad_to_max)
    reasons = {
        "an input size that the config does not fix: set fixed_shape_resizer, or pad_to_max_dimension in "
        "keep_aspect_ratio_resizer": not fixed,
        "grayscale": resizer.grayscale,
        f"the box coder {kind!r}, but {' and '.join(CODE_TYPES)}": kind not in CODE_TYPES,
        "soft NMS; set soft_nms_sigma: 0": nms.soft_sigma > 0,
        "class-agnostic NMS; set use_class_agnostic_nms: false": nms.class_agnostic,
    }
    for reason, applies in reasons.items():
        if applies:
            raise UnsupportedError(f"{config.path}: --opencv cannot do {reason} (see --config-override).")


def write_graph(model, frozen, target: Path, progress: Progress | None = None) -> Path:
    """Writes the text graph for a frozen GraphDef of the same model, which stays as it is.

    Raises UnsupportedError for a network with ops that OpenCV has not.
    """
    from google.protobuf import text_format

    graph, anchors = network(model)
    simplify(graph)
    narrow(graph)
    missing = sorted({n.op for n in graph.node} - set(OPS) | {f"dilated {n.op}" for n in graph.node if dilated(n)})
    if missing:
        raise UnsupportedError(
            f"{model.config.path}: OpenCV cannot read {', '.join(missing)}, of which {model.config.architecture} is "
            "made. Leave out --opencv; OpenVINO takes the frozen graph as it is."
        )
    plain(graph)
    borrow(graph, frozen)
    detect(graph, model.config.model, anchors)
    nms = model.config.model.post_processing.nms
    if progress and nms.max_per_class < nms.max_total and model.config.model.num_classes > 1:
        progress.warn(f"{NAME}: OpenCV has no max_detections_per_class; a class may get more than {nms.max_per_class}.")
    text = how_to(model.config.model, model.meta.normalization(model.config.model))
    target.write_text(text + text_format.MessageToString(graph), "utf-8")
    return target


def network(model):
    """One image of RGB (or BGR) pixels to codes and scores of all anchors, as a GraphDef; and the anchors [n, 4]."""
    import tensorflow as tf

    from visionport.models.ssd import architecture as ssd
    from visionport.ops import boxes, image

    config, kept = model.config.model, {}
    normalization = model.meta.normalization(config)
    as_given = Normalization(mean=normalization.mean, std=normalization.std)  # the client orders the channels

    def heads(images):
        x = image.normalize(images, as_given)
        found = model.predict(x, None)
        kept["anchors"] = ssd.anchors(config, found, x, constant=True)
        scores = boxes.scores(config.post_processing, found["logits"])
        return dict(zip(HEADS, map(tf.identity, (found["box_encodings"], scores)), strict=True))

    spec = tf.TensorSpec((1, *model.input_size), tf.float32, name=INPUT)
    function = tf.function(heads, autograph=False).get_concrete_function(spec)
    graph = freeze_function(function, {INPUT: INPUT})
    folded: Any = edit.optimized(graph, HEADS, ["constfold"])
    return folded, kept["anchors"]


def simplify(graph) -> None:
    """Takes out what changes nothing; ops/nn.py's upsample2 becomes a resize, `x[:, ::2, ::2]` a pooling."""
    nodes = {n.name: n for n in graph.node}

    def source(name: str) -> str:
        while nodes[edit.base(name)].op in ("Identity", "IdentityN"):
            name = nodes[edit.base(name)].input[0]
        return name.removesuffix(":0")

    for node in graph.node:
        node.input[:] = [source(i) for i in node.input if not i.startswith("^")]
    reshapes = [n for n in graph.node if n.op == "Reshape"]
    for node in reshapes:
        spread = nodes[node.input[0]]
        if spread.op == "BroadcastTo":
            size = values(nodes[node.input[1]])[1:3]
            node.op = "ResizeNearestNeighbor"
            node.input[:] = [nodes[spread.input[0]].input[0], add_constant(graph, f"{node.name}/size", size).name]
    for node in graph.node:
        masks = [node.attr[m].i for m in ("begin_mask", "end_mask")] if node.op == "StridedSlice" else []
        if masks == [7, 7]:
            strides, dtype = values(nodes[node.input[3]]), node.attr["T"].type
            node.op, node.input[:] = "MaxPool", node.input[:1]
            node.attr.clear()
            node.attr["T"].type, node.attr["padding"].s = dtype, b"VALID"
            node.attr["ksize"].list.i.extend([1] * 4)
            node.attr["strides"].list.i.extend([*strides.tolist(), 1])
    for name in HEADS:
        node = nodes[name]
        node.CopyFrom(nodes[source(name)])
        node.name = name
    edit.needed(graph, HEADS)


def narrow(graph) -> None:
    """Depthwise kernels over maps one pixel wide or high lose the taps that only ever see padding.

    OpenCV 4.14 and 5.0 compute such 3x3 ones from memory that is not theirs.
    """
    import tensorflow as tf

    nodes = {n.name: n for n in graph.node}
    with tf.Graph().as_default() as imported:
        tf.compat.v1.import_graph_def(graph, name="")
    for node in [n for n in graph.node if n.op == "DepthwiseConv2dNative" and n.attr["padding"].s == b"SAME"]:
        sides = imported.get_operation_by_name(node.name).inputs[0].shape[1:3]
        kernel = values(nodes[node.input[1]])
        seen = [[(k - 1) // 2] if side == 1 else range(k) for k, side in zip(kernel.shape, sides, strict=False)]
        if 1 in sides:
            node.input[1] = add_constant(graph, f"{node.name}/taps", kernel[np.ix_(*seen)]).name


def dilated(node) -> bool:
    """Is it a convolution of a kind that the importer would take for an ordinary one?"""
    return node.op in CONVOLUTIONS and any(d != 1 for d in node.attr["dilations"].list.i)


def plain(graph) -> None:
    """Attributes that OpenCV does not read go; its softmax gets the axis of the classes, its reshapes any batch."""
    nodes = {n.name: n for n in graph.node}
    for node in graph.node:
        for name in set(node.attr) - set(OPS[node.op]):
            del node.attr[name]
        if node.op == "Softmax":
            node.attr["axis"].i = 2
        if node.op == "Reshape":
            shape = values(nodes[node.input[1]])
            node.input[1] = add_constant(graph, f"{node.name}/any", [-1, *shape[1:]]).name
    edit.needed(graph, HEADS)


def borrow(graph, frozen) -> None:
    """Constants that the frozen graph has too are read from there; the others are written out in full."""

    def key(value):
        return value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).digest()

    stored = {}
    for node in frozen.node:
        if node.op == "Const" and node.attr["value"].tensor.tensor_content:
            stored.setdefault(key(values(node)), node.name)
    names, left = {}, []
    for node in graph.node:
        if node.op == "Const":
            value = values(node)
            names[node.name] = stored.get(key(value)) if value.size > 1 else None
            if not names[node.name]:
                left.append((node.name, value))
    edit.keep(graph.node, lambda n: n.op != "Const")
    for name, value in left:
        names[name] = f"opencv/{name}"
        add_constant(graph, names[name], value)
    for node in graph.node:
        node.input[:] = [names.get(i, i) for i in node.input]


def detect(graph, model: Ssd, anchors) -> None:
    """Adds the layer that decodes the codes and suppresses: [1, 1, m, 7] of (image, class, score, corners x y x y)."""
    n, coder, nms = len(anchors), model.box_coder, model.post_processing.nms
    center = coder.kind == "faster_rcnn"
    variance = [1 / coder.scales[i] for i in (1, 0, 3, 2)] if center else [coder.stddev] * 4
    corners = np.array(anchors, np.float32)[:, [1, 0, 3, 2]]
    both = graph.node.add(name="opencv/priors", op="ConcatV2")  # the importer makes layers of its constant inputs
    for name, value in {"anchors": corners, "variances": np.tile(np.array(variance, np.float32), (n, 1))}.items():
        both.input.append(add_constant(graph, f"opencv/{name}", value.reshape(1, 1, 4 * n)).name)
    both.input.append(add_constant(graph, "opencv/axis", 1).name)
    layer = graph.node.add(name=OUTPUT, op="DetectionOutput")
    layer.input.extend([*HEADS, both.name])
    per_class = nms.max_per_class * model.num_classes
    for name, value in {
        "num_classes": model.class_slots,
        "background_label_id": 0 if model.has_background else model.class_slots,  # none: past the last, as -1 is taken
        "top_k": MOST_CANDIDATES,
        "keep_top_k": min(nms.max_total, per_class),
    }.items():
        layer.attr[name].i = value
    layer.attr["confidence_threshold"].f = nms.score_threshold
    layer.attr["nms_threshold"].f = nms.iou_threshold
    layer.attr["code_type"].s = CODE_TYPES[coder.kind].encode()
    layer.attr["share_location"].b = layer.attr["loc_pred_transposed"].b = True


def values(node) -> np.ndarray:
    import tensorflow as tf

    return tf.make_ndarray(node.attr["value"].tensor)


def add_constant(graph, name: str, value):
    """A Const of float32 or int32: single numbers as such, arrays as bytes, the one way that OpenCV reads each."""
    import tensorflow as tf

    array = np.asarray(value)
    array = array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
    node = graph.node.add(name=name, op="Const")
    tensor = node.attr["value"].tensor
    node.attr["dtype"].type = tensor.dtype = tf.as_dtype(array.dtype).as_datatype_enum
    tensor.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    if array.size > 1:
        tensor.tensor_content = array.tobytes()
    elif array.dtype == np.float32:
        tensor.float_val.append(float(array.flat[0]))
    else:
        tensor.int_val.append(int(array.flat[0]))
    return node


def how_to(model: Ssd, normalization: Normalization) -> str:
    """The head of the file, in comments: how to load the pair, what to feed, what comes out."""
    resizer, lines = model.resizer, []
    if isinstance(resizer, KeepAspectRatio):
        width = height = resizer.max_dimension
        short = resizer.min_dimension
        border = ", ".join(f"{v:.6g}" for v in padding(resizer, normalization)[::-1])  # blue first
        lines = [
            f"scale = min({short} / min(image.shape[:2]), {height} / max(image.shape[:2]))",
            'image = cv2.resize(image, None, fx=scale, fy=scale).astype("float32")',
            f"below, right = {height} - image.shape[0], {width} - image.shape[1]  # corners are of the padded image",
            f"image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=({border}))",
        ]
    else:
        height, width = resizer.height, resizer.width
    first = "the label map's id" if model.has_background else "the label map's id less 1"
    lines = [
        "How to use it in Python, with an image of cv2.imread:",
        "",
        f'net = cv2.dnn.readNetFromTensorflow("frozen_inference_graph.pb", "{NAME}")',
        *lines,
        f"net.setInput(cv2.dnn.blobFromImage(image, size=({width}, {height}), swapRB={not normalization.bgr}))",
        "for _, label, score, xmin, ymin, xmax, ymax in net.forward()[0, 0]:  # corners from 0 to 1, not clipped",
        f"    ...  # label: {first}; rows past the last detection are zeros",
        "",
        "Most of the time goes into suppression where the config's score_threshold is near 0: set it with",
        "--config-override. What is above stays as it is.",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


class OpenCv(Format):
    """See formats/base.py. It stands beside the frozen graph, whose weights it borrows by name."""

    name = "opencv"
    title = "OpenCV text graph"
    target = NAME
    runtime = ("cv2", "tensorflow")

    def check(self, config, options) -> None:
        check_config(config)

    def write(self, model, signatures, options, folder: Path, progress=None) -> Path:
        frozen = frozen_graph.read_graph_def(folder / frozen_graph.FORMAT.target)
        return write_graph(model, frozen, folder / self.target, progress)

    def reading(self, model, signatures, options) -> Reading:
        answers = {
            "classes_from": 1 - int(not model.config.model.has_background),
            "boxes": "frame",
            "drops_empty": True,
        }
        return Reading(input=INPUT, type="pixels", signature=SIGNATURE, answers=answers, outputs=NAMES)

    def open(self, path: Path, reading: Reading, threads: int | None = None) -> "OpenCvRunner":
        return OpenCvRunner(path, reading, threads)

    def missing_package(self) -> str:
        return "" if importlib.util.find_spec("cv2") else "opencv-python-headless is not installed"

    def signatures(self, path: Path, reading: Reading) -> list[SignatureInfo]:
        graph = read_text_graph(path)
        (source,) = (n for n in graph.node if n.op == "Placeholder")
        shape = tuple(d.size for d in source.attr["shape"].shape.dim)
        ends = (Tensor(name=OUTPUT, dtype="float32", shape=(1, 1, None, 7)),)
        return [SignatureInfo(name=SIGNATURE, inputs=(Tensor(name=INPUT, dtype="float32", shape=shape),), outputs=ends)]

    def tolerance(self, model, options):
        return OTHER_RUNTIME

    def left_out(self, model, options, outputs) -> Mapping[str, str]:
        return {
            name: "OpenCV's detection layer gives boxes, classes and scores" for name in outputs if name not in NAMES
        }

    def differs(self, model, options) -> str:
        nms = model.config.model.post_processing.nms
        limited = nms.max_per_class < nms.max_total and model.config.model.num_classes > 1
        return "OpenCV has no max_detections_per_class" if limited else ""

    def snippet(self, artifact, content, task) -> str:
        return SNIPPET.format(path=artifact["path"])


class OpenCvRunner:
    """The pair of graphs in OpenCV's dnn module; one image a call."""

    thread_safe = False

    def __init__(self, path: Path, reading: Reading, threads: int | None = None):
        import cv2  # pyright: ignore[reportMissingImports] (an extra)

        cv2.setNumThreads(-1 if threads is None else threads)
        frozen = path.with_name(frozen_graph.FORMAT.target)
        self._net: Any = cv2.dnn.readNetFromTensorflow(str(frozen), str(path))
        self._names = reading.outputs
        (found,) = FORMAT.signatures(path, reading)
        outputs = tuple(Tensor(name=n, dtype="float32", shape=()) for n in self._names)
        self.signatures: Mapping[str, SignatureInfo] = {
            SIGNATURE: SignatureInfo(name=SIGNATURE, inputs=found.inputs, outputs=outputs)
        }

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """feeds: float32 [1, H, W, 3], pixels."""
        self._net.setInput(np.ascontiguousarray(feeds[INPUT].transpose(0, 3, 1, 2)))
        rows = self._net.forward()[0, 0]
        rows = rows[rows[:, 2] > 0]  # past the last detection they are zeros
        corners = rows[:, [4, 3, 6, 5]]
        count = np.array([len(rows)], np.float32)
        values = (corners[None], rows[None, :, 1], rows[None, :, 2], count)
        return {name: value.astype(np.float32) for name, value in zip(self._names, values, strict=True)}

    def close(self) -> None:
        self._net = None


def read_text_graph(path: Path):
    """The GraphDef of an opencv.pbtxt."""
    from google.protobuf import text_format
    from tensorflow.core.framework import graph_pb2

    return text_format.Parse(path.read_text("utf-8"), graph_pb2.GraphDef())


SNIPPET = """\
import cv2

net = cv2.dnn.readNetFromTensorflow("frozen_inference_graph.pb", "{path}")
image = cv2.imread("image.jpg")
# {path} begins with what to feed and what comes out.
"""

FORMAT = OpenCv()
