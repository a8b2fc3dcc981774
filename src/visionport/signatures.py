"""Signatures: one for each input type, all around the model's one function."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from visionport.errors import UnsupportedError
from visionport.inputs.types import INPUT_TYPES, check_names, more_specs


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One way into the model. function: a tf.function of one tensor and `more`, traced once; its outputs are a dict."""

    name: str  # the input type
    input_name: str  # "input_tensor"
    function: Any  # a tf.types.experimental.ConcreteFunction
    more: tuple[str, ...] = ()  # names of its other inputs


def sign(model, inputs: Sequence[str], *, batch: int | None = None, image_size=None) -> list[Signature]:
    """A signature for each input type; all call the model's one detection function.

    batch: a number, or None for any. image_size: (height, width) of the images to come, or None for any.
    """
    return [_sign(model, name, batch, image_size or (None, None)) for name in check_names(inputs)]


def _sign(model, name, batch, image_size):
    import tensorflow as tf

    kind = INPUT_TYPES[name]
    shape = (batch, *image_size, 3) if kind.is_image else (batch,)
    more = more_specs(name, batch)
    try:
        detect = model.trace(more)
    except UnsupportedError as e:
        raise UnsupportedError(f"--input {name}: {e} Take image_tensor.") from e
    preprocess = functools.partial(model.preprocess, source=name)
    sides = [tf.TensorSpec(i.shape, i.dtype, i.name) for i in model.side_inputs]

    def signature(input_tensor, *values):
        images, shapes = kind.prepare(preprocess, input_tensor)
        return detect(images, shapes, *values)

    function = tf.function(signature, autograph=False)
    input_name = model.config.lineage.input_name
    spec = tf.TensorSpec(shape, getattr(tf, kind.dtype), name=input_name)
    concrete = function.get_concrete_function(spec, *sides, *more.values())
    names = (*(i.name for i in model.side_inputs), *more)
    return Signature(name=name, input_name=input_name, function=concrete, more=names)


def sign_heads(model):
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
