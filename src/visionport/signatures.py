"""Signatures: one for each input type, all around the model's one function."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from visionport.errors import UnsupportedError
from visionport.inputs.types import check_names, more_specs, split_name, type_of


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One way into the model. function: a tf.function of one tensor and `more`, traced once; its outputs are a dict."""

    name: str  # the input type, as it was asked for
    kind: str  # how pictures go in: a key of inputs/types.py: INPUT_TYPES
    input_name: str  # "input_tensor"
    function: Any  # a tf.types.experimental.ConcreteFunction
    more: tuple[str, ...] = ()  # names of its other inputs
    called: str = ""  # what it is called in a SavedModel; nothing: by its name, and the first serving_default


def sign(
    model, inputs: Sequence[str], *, batch: int | None = None, image_size=None, input_name: str = ""
) -> list[Signature]:
    """A signature for each input type (TYPE or TYPE:SIGNATURE); all call the model's one function.

    batch: a number, or None for any. image_size: (height, width) of the images to come, or None for any. input_name:
    what their input is called, where it is not what the reference calls it.
    """
    return [_sign(model, given, batch, image_size, input_name) for given in check_names(inputs)]


def sign_anew(
    model, given: str, answer: Callable, *, batch: int | None = None, image_size=None, input_name: str = ""
) -> Signature:
    """A signature of the same inputs around another function of what `Model.infer` takes; that is traced in it."""
    return _sign(model, given, batch, image_size, input_name, answer)


def infer(answer: Callable, model, more: Mapping[str, Any]) -> Callable:
    """`answer` with the values of the model's side inputs and of `more` by their order alone."""

    def function(images, true_shapes, *values):
        count = len(model.side_inputs)
        return answer(images, true_shapes, *values[:count], **dict(zip(more, values[count:], strict=True)))

    return function


def sign_preprocessed(model, answer: Callable, *, batch: int | None = None, input_name: str) -> Signature:
    """The same of preprocessed images [b, H, W, c] that no padding is in."""
    import tensorflow as tf

    def signature(images, *values):
        shape = tf.shape(images)
        found = answer(images, tf.tile(shape[None, 1:], tf.stack([shape[0], 1])), *values)
        return {k: v for k, v in found.items() if k not in model.of_pictures}

    spec = tf.TensorSpec((batch, *model.input_size), tf.float32, name=input_name)
    sides = [tf.TensorSpec(i.shape, i.dtype, i.name) for i in model.side_inputs]
    function = tf.function(signature, autograph=False).get_concrete_function(spec, *sides)
    names = tuple(i.name for i in model.side_inputs)
    return Signature(name="tflite", kind="tflite", input_name=input_name, function=function, more=names)


def _sign(model, given, batch, image_size, chosen_name, answer=None):
    import tensorflow as tf

    name, called = split_name(given)
    kind = type_of(model.config, name)
    shape = (batch, *model.input_size) if kind.preprocessed else kind.shape(batch, image_size or (None, None))
    more = more_specs(name, batch)
    try:
        detect = infer(answer, model, more) if answer else model.trace(more)
    except UnsupportedError as e:
        raise UnsupportedError(f"--input {name}: {e} Take image_tensor.") from e
    preprocess = functools.partial(model.preprocess, source=name)
    sides = [tf.TensorSpec(i.shape, i.dtype, i.name) for i in model.side_inputs]

    def signature(input_tensor, *values):
        images, shapes = kind.prepare(preprocess, input_tensor)
        found = detect(images, shapes, *values)
        return {k: v for k, v in found.items() if not (kind.preprocessed and k in model.of_pictures)}

    function = tf.function(signature, autograph=False)
    input_name = chosen_name or kind.input_name or model.config.lineage.input_name
    spec = tf.TensorSpec(shape, getattr(tf, kind.dtype), name=input_name)
    concrete = function.get_concrete_function(spec, *sides, *more.values())
    names = (*(i.name for i in model.side_inputs), *more)
    known = model.config.input_kinds.get(name, name)
    return Signature(name=name, kind=known, input_name=input_name, function=concrete, more=names, called=called)


def sign_heads(model):
    """The signature `predict`, to train on: float32 images [b, H, W, c], preprocessed and without padding -> raw heads.

    What they are, `predict` of the meta-architecture says, "rpn_scores_3" being what it has by level or stage; where
    there are anchors of all images alike, also these.
    """
    import tensorflow as tf

    def signature(images, *side):
        shapes = tf.tile(tf.shape(images)[None, 1:], tf.stack([tf.shape(images)[0], 1]))
        found = model.heads(images, tf.ensure_shape(shapes, (images.shape[0], 3)), *side)
        if hasattr(model.meta, "anchors"):
            found["anchors"] = model.meta.anchors(model.config.model, found, images, constant=False)
        return dict(flat({name: value for name, value in found.items() if name not in MAPS}))

    specs = [tf.TensorSpec(model.heads.inputs[0].shape, tf.float32, "images")]
    specs += [tf.TensorSpec(i.shape, i.dtype, i.name) for i in model.side_inputs]
    return tf.function(signature, autograph=False).get_concrete_function(*specs)


def flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Tensors by name, those of a list or a dict behind the name of that: a signature's outputs hold no others."""
    for name, value in values.items():
        inner = dict(enumerate(value)) if isinstance(value, (list, tuple)) else value
        if isinstance(inner, Mapping):
            yield from flat({f"{name}_{k}": v for k, v in inner.items()})
        else:
            yield name, value


PREDICT = "predict"
MAPS = ("feature_maps", "decoded")  # what raw heads are made of
