"""The input types: what comes in, and how it becomes a batch of preprocessed images.

Each function takes the model's own `preprocess` and a batch of its input, and returns what `detect` wants:
float32 [b, H, W, c] and int32 [b, 3]. Reference: exporter_lib_v2.py, exporter.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from visionport.errors import OptionError, nearest


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One way into the model. function: a tf.function of one tensor, traced once; its outputs are a dict."""

    name: str  # the input type
    input_name: str  # "input_tensor"
    function: Any  # a tf.types.experimental.ConcreteFunction


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


def sign(model, inputs: Sequence[str], *, batch: int | None = None, image_size=None) -> list[Signature]:
    """A signature for each input type; all call the model's one detection function.

    batch: a number, or None for any. image_size: (height, width) of the images to come, or None for any.
    """
    return [_sign(model, name, batch, image_size or (None, None)) for name in check(inputs)]


def _sign(model, name, batch, image_size):
    import tensorflow as tf

    dtype, images, prepare = INPUTS[name]
    shape = (batch, *image_size, 3) if images else (batch,)

    def signature(input_tensor):
        images, shapes = prepare(model.preprocess, input_tensor)
        return model.detect(images, shapes)

    function = tf.function(signature, autograph=False)
    input_name = INPUT_NAMES[model.config.api]
    spec = tf.TensorSpec(shape, getattr(tf, dtype), name=input_name)
    return Signature(name=name, input_name=input_name, function=function.get_concrete_function(spec))


# The reference's: exporter.py, exporter_lib_v2.py.
INPUT_NAMES = {"tf1": "inputs", "tf2": "input_tensor"}


# dtype, whether images (or one string a picture), preparation
INPUTS = {
    "image_tensor": ("uint8", True, from_images),  # [b, h, w, 3]
    "float_image_tensor": ("float32", True, from_images),  # [b, h, w, 3], 0 to 255
    "encoded_image_string_tensor": ("string", False, from_bytes),  # [b], JPEG, PNG, BMP, GIF
    "tf_example": ("string", False, from_examples),  # [b], serialized tf.train.Example with image/encoded
}
