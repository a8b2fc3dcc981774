"""The input types: what comes in, and how it becomes a batch of preprocessed images.

Each function takes the model's own `preprocess` and a batch of its input, and returns what `detect` wants:
float32 [b, H, W, c] and int32 [b, 3]. Reference: exporter_lib_v2.py, exporter.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from visionport.errors import OptionError, UnsupportedError, nearest


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One way into the model. function: a tf.function of one tensor and `more`, traced once; its outputs are a dict."""

    name: str  # the input type
    input_name: str  # "input_tensor"
    function: Any  # a tf.types.experimental.ConcreteFunction
    more: tuple[str, ...] = ()  # names of its other inputs


def from_images(preprocess, images):
    return preprocess(images)


def from_bytes(preprocess, data):
    from visionport.ops import image

    return _each(lambda one: preprocess(image.decode(one)[None]), data)


def from_examples(preprocess, data):
    from visionport.ops import image

    return _each(lambda one: preprocess(image.decode_example(one)[None]), data)


def _each(function: Callable, data):
    """`function` on each string of a batch; smaller images are padded below and right with 0, the mean."""
    import tensorflow as tf

    def one(item):
        image, shape = function(item)
        return image[0], shape[0]

    if data.shape[0] == 1:
        return function(data[0])
    image, _ = one(data[0])
    spec = (tf.TensorSpec(image.shape), tf.TensorSpec((3,), tf.int32))
    if image.shape.is_fully_defined():
        return tf.map_fn(one, data, fn_output_signature=spec)
    # Sizes first: decoding twice is cheaper than keeping every image of a batch.
    sizes = tf.map_fn(lambda item: tf.shape(one(item)[0]), data, fn_output_signature=tf.TensorSpec((3,), tf.int32))
    largest = tf.reduce_max(sizes, 0)

    def padded(item):
        image, shape = one(item)
        missing = largest - tf.shape(image)
        return tf.ensure_shape(tf.pad(image, tf.stack([tf.zeros_like(missing), missing], 1)), image.shape), shape

    return tf.map_fn(padded, data, fn_output_signature=spec)


def check(inputs: Sequence[str]) -> tuple[str, ...]:
    """The input types asked for, known and without duplicates; raises OptionError otherwise."""
    for name in inputs:
        if name not in INPUTS:
            raise OptionError(f"--input {name!r} is unknown{nearest(name, INPUTS)}. One of: {', '.join(INPUTS)}.")
    if not inputs:
        raise OptionError(f"--input is empty. One or more of: {', '.join(INPUTS)}.")
    return tuple(dict.fromkeys(inputs))


def check_model(inputs: Sequence[str], config) -> None:
    """Raises UnsupportedError where the model does not take an input type."""
    if BOXES in inputs and not getattr(config.model, "deepmac", None):
        raise UnsupportedError(
            f"{config.path}: --input {BOXES} is for models that draw masks in boxes given to them (DeepMAC); "
            f"{config.architecture} is none here. Take image_tensor."
        )


def more_specs(name: str, batch: int | None = None) -> dict[str, Any]:
    """{name: TensorSpec} of an input type's inputs besides the images."""
    import tensorflow as tf

    more = MORE_INPUTS.get(name, {})
    return {key: tf.TensorSpec((batch, *shape), getattr(tf, dtype), key) for key, (dtype, shape) in more.items()}


def sign(model, inputs: Sequence[str], *, batch: int | None = None, image_size=None) -> list[Signature]:
    """A signature for each input type; all call the model's one detection function.

    batch: a number, or None for any. image_size: (height, width) of the images to come, or None for any.
    """
    return [_sign(model, name, batch, image_size or (None, None)) for name in check(inputs)]


def _sign(model, name, batch, image_size):
    import tensorflow as tf

    dtype, images, prepare = INPUTS[name]
    shape = (batch, *image_size, 3) if images else (batch,)
    more = more_specs(name, batch)
    detect = model.trace(more)
    if more and "detection_masks" not in detect.structured_outputs:
        raise UnsupportedError(f"--input {name}: the checkpoint has no network that draws masks. Take image_tensor.")

    sides = [tf.TensorSpec(i.shape, i.dtype, i.name) for i in model.side_inputs]

    def signature(input_tensor, *values):
        images, shapes = prepare(model.preprocess, input_tensor)
        return detect(images, shapes, *values)

    function = tf.function(signature, autograph=False)
    input_name = INPUT_NAMES[model.config.api]
    spec = tf.TensorSpec(shape, getattr(tf, dtype), name=input_name)
    concrete = function.get_concrete_function(spec, *sides, *more.values())
    names = (*(i.name for i in model.side_inputs), *more)
    return Signature(name=name, input_name=input_name, function=concrete, more=names)


def heads(model):
    """The signature `predict`, to train on: float32 images [b, H, W, c], preprocessed and without padding -> raw heads.

    What they are, `predict` of the meta-architecture says; for SSD also the anchors.
    """
    import tensorflow as tf

    def signature(images, *side):
        shapes = tf.tile(tf.shape(images)[None, 1:], tf.stack([tf.shape(images)[0], 1]))
        found = model.heads(images, tf.ensure_shape(shapes, (images.shape[0], 3)), *side)
        if hasattr(model.meta, "anchors"):
            found["anchors"] = model.meta.anchors(model.config.model, found, images, constant=False)
        return {name: value for name, value in found.items() if name != "feature_maps"}

    specs = [tf.TensorSpec(model.heads.inputs[0].shape, tf.float32, "images")]
    specs += [tf.TensorSpec(i.shape, i.dtype, i.name) for i in model.side_inputs]
    return tf.function(signature, autograph=False).get_concrete_function(*specs)


PREDICT = "predict"

# The reference's: exporter.py, exporter_lib_v2.py.
INPUT_NAMES = {"tf1": "inputs", "tf2": "input_tensor"}


# dtype, whether images (or one string a picture), preparation
INPUTS = {
    "image_tensor": ("uint8", True, from_images),  # [b, h, w, 3]
    "float_image_tensor": ("float32", True, from_images),  # [b, h, w, 3], 0 to 255
    "encoded_image_string_tensor": ("string", False, from_bytes),  # [b], JPEG, PNG, BMP, GIF
    "tf_example": ("string", False, from_examples),  # [b], serialized tf.train.Example with image/encoded
    "image_and_boxes_tensor": ("uint8", True, from_images),  # and boxes float32 [b, n, 4] to draw masks in
}

BOXES = "image_and_boxes_tensor"
# What an input type takes besides: {name: (dtype, shape behind the batch)}
MORE_INPUTS: dict[str, dict[str, tuple[str, tuple[int | None, ...]]]] = {BOXES: {"boxes": ("float32", (None, 4))}}
