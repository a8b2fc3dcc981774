"""A config and a checkpoint become a model: functions over variables that hold the checkpoint's values."""

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from visionport.checkpoint.names import averages, locator
from visionport.checkpoint.params import Params, is_small_statistic
from visionport.checkpoint.saved_model import foreign
from visionport.checkpoint.selection import Selection
from visionport.config import Config, SideInput
from visionport.errors import CheckpointError, ConfigError, UnsupportedError
from visionport.inputs.side_inputs import choose

NONE = Selection()


@dataclass(frozen=True, kw_only=True)
class Model:
    """What export, verification and prediction work with. All functions are plain TensorFlow, to be traced.

    meta: the meta-architecture's module.
    preprocess: uint8 or float32 [b, h, w, 3] -> (float32 [b, H, W, c], int32 [b, 3] sizes without padding).
        `source`, a key of inputs/types.py, says where the images come from, since some models tell them apart.
    side_inputs: what goes to `predict` and `detect` behind that, a tensor each; most models have none.
    predict: what preprocess gives -> dict of raw answers (see models/ssd/architecture.py: predict).
    heads: `predict` as a concrete function, where some variables are frozen, to train the others; else None.
    infer: the same, and by name what `trace` takes more -> dict of the reference's outputs, float32; to be traced.
    detect: that as a concrete function, traced once.
    answer: preprocessed images [b, H, W, c] that no padding is in -> the same outputs; to be traced.
    reading: how these are to be read, as a manifest records it and the task's `answer` takes it.
    of_pictures: outputs that tell of the pictures, so that preprocessed images do not have them.
    trace: {name: TensorSpec} of more inputs that `postprocess` takes -> `detect` with them behind its own.
    input_size: (H, W, c), None where the image decides.
    statistics: names of constants that nobody chose: small ones that are never trained (see checkpoint/params.py).
    """

    config: Config
    params: Params
    meta: ModuleType
    preprocess: Callable
    side_inputs: tuple[SideInput, ...]
    predict: Callable
    heads: Any
    infer: Callable
    detect: Any
    answer: Callable
    reading: Mapping[str, Any]
    of_pictures: tuple[str, ...]
    trace: Callable
    input_size: tuple[int | None, ...]
    statistics: tuple[str, ...]


def build(
    config: Config,
    checkpoint,
    *,
    selection: Selection = NONE,
    batch: int | None = None,
    side_inputs: Sequence[SideInput] = (),
) -> Model:
    """The model, every weight read once and every function traced once.

    selection: what becomes a constant; nothing given, small statistics: each variable less is loaded in less time.
    side_inputs: those of the model that are not to have the shapes that its config gives them.
    Raises MismatchError when checkpoint and config do not fit, UnsupportedError when the config asks for what is not
    supported (see docs/support.md).
    """
    import tensorflow as tf

    from visionport.ops import portable

    meta = meta_of(config)
    with about(config):
        chosen = (lambda name, size: selection.frozen(name)) if selection else is_small_statistic
        params = params_for(config, checkpoint, frozen=chosen)
    size = input_size(config)
    scope = params.scope()

    specs = [tf.TensorSpec((batch, *size), tf.float32, "images"), tf.TensorSpec((batch, 3), tf.int32, "true_shapes")]
    side_inputs = choose(side_inputs_of(config), side_inputs, batch)
    specs += [tf.TensorSpec(i.shape, i.dtype, i.name) for i in side_inputs]

    def predict(images, true_shapes, *side):
        return meta.predict(config.model, scope, images, true_shapes, *side)

    heads = None
    if selection:  # a function of its own, so that its constants are in a SavedModel once
        with about(config), fitting(params, config, checkpoint):
            heads = tf.function(predict, autograph=False).get_concrete_function(*specs)

    def infer(images, true_shapes, *side, **more):
        raw = predict if portable.PORTABLE.get() else heads or predict
        prediction = raw(images, true_shapes, *side)
        outputs = meta.postprocess(config.model, scope, prediction, images, true_shapes, **more)
        return meta.exported(config, outputs)

    def answer(images):
        shape = tf.shape(images)
        return infer(images, tf.tile(shape[None, 1:], tf.stack([shape[0], 1])))

    @functools.cache
    def traced(more: tuple[tuple[str, Any], ...]):
        def function(images, true_shapes, *values):
            side, last = values[: len(side_inputs)], values[len(side_inputs) :]
            return infer(images, true_shapes, *side, **dict(zip(dict(more), last, strict=True)))

        return tf.function(function, autograph=False).get_concrete_function(*specs, *dict(more).values())

    def trace(more: Mapping[str, Any]):
        return traced(tuple(more.items()))

    with about(config), fitting(params, config, checkpoint):
        concrete = trace({})
    params.check(str(checkpoint.prefix), config.architecture, checkpoint.hint, config.num_classes)
    selection.check_names(params.keys)
    return Model(
        config=config,
        params=params,
        meta=meta,
        preprocess=functools.partial(preprocess, config, meta),
        side_inputs=side_inputs,
        predict=predict,
        heads=heads,
        infer=infer,
        detect=concrete,
        answer=answer,
        reading=meta.reading(config),
        of_pictures=getattr(meta, "OF_PICTURES", ()),
        trace=trace,
        input_size=size,
        statistics=() if selection else tuple(params.constants),
    )


def check(config: Config, checkpoint) -> Params:
    """Do they fit? By names and shapes alone: the checkpoint's index is enough. Raises as `build` does."""
    with about(config):
        params = params_for(config, checkpoint, dry=True)
    import tensorflow as tf

    meta = meta_of(config)
    scope = params.scope()
    # A function's graph, where `==` compares tensors; in a plain graph it compares objects.
    graph = tf.__internal__.FuncGraph("check")
    with about(config), fitting(params, config, checkpoint), graph.as_default():
        images = tf.raw_ops.Placeholder(dtype=tf.float32, shape=(None, *input_size(config)))
        shapes = tf.raw_ops.Placeholder(dtype=tf.int32, shape=(None, 3))
        side = [tf.raw_ops.Placeholder(dtype=i.dtype, shape=i.shape) for i in side_inputs_of(config)]
        prediction = meta.predict(config.model, scope, images, shapes, *side)
        # As it is: nothing in it needs conversion, which takes milliseconds for each class's own NMS.
        postprocess = tf.autograph.experimental.do_not_convert(meta.postprocess)
        postprocess(config.model, scope, prediction, images, shapes)
    params.check(str(checkpoint.prefix), config.architecture, checkpoint.hint, config.num_classes)
    return params


@contextmanager
def about(config: Config) -> Iterator[None]:
    """Names the config in what a model's own code refuses."""
    try:
        yield
    except UnsupportedError as e:
        raise UnsupportedError(f"{config.path}: {e}") from e


@contextmanager
def fitting(params: Params, config: Config, checkpoint) -> Iterator[None]:
    """Weights of another model may have shapes that do not even meet: the table says more than what TensorFlow says."""
    try:
        yield
    except ValueError:
        params.check(str(checkpoint.prefix), config.architecture, checkpoint.hint, config.num_classes)
        raise


def side_inputs_of(config: Config) -> tuple[SideInput, ...]:
    return getattr(config.model, "side_inputs", ())


def meta_of(config: Config) -> ModuleType:
    return importlib.import_module(FAMILIES[config.family])


def preprocess(config: Config, meta: ModuleType, images, source: str = "image_tensor"):
    """See Model.preprocess: by the architecture's own function, or by the config's resizer and its normalisation."""
    from visionport.ops import image

    own = getattr(meta, "preprocess", None)
    if own:
        return own(config.model, images, source)
    return image.preprocess(images, config.model.resizer, meta.normalization(config.model))


def reading(config: Config) -> dict[str, Any]:
    """How the outputs are to be read, as a manifest records it and the task's `answer` takes it."""
    return meta_of(config).reading(config)


def input_size(config: Config) -> tuple[int | None, ...]:
    """(H, W, c) of what the network takes, None where the image decides; by the architecture's own function, if any."""
    from visionport.ops import image

    own = getattr(meta_of(config), "input_size", None)
    if own:
        return own(config.model)

    height, width = image.fixed_size(config.model.resizer) or (None, None)
    return height, width, image.channels(config.model.resizer)


def params_for(config: Config, checkpoint, **how) -> Params:
    kind = config.lineage.checkpoint
    if checkpoint.kind not in (kind, "named"):
        kinds = {"tf1": "a TF1 checkpoint (names)", "tf2": "a TF2 checkpoint (object graph)"}
        raise ConfigError(
            f"{config.path}: {config.architecture} is trained to {kinds[kind]}, but {checkpoint.prefix} is "
            f"{kinds[checkpoint.kind]}. Give the config it was trained with."
        )
    if foreign(checkpoint):
        raise CheckpointError(
            f"{checkpoint.prefix} are the variables of a SavedModel that visionport did not write: no config tells "
            "their names. Give the checkpoint that it was made from; or freeze it whole, by `visionport freeze`."
        )
    meta = meta_of(config)
    if checkpoint.kind == "named":
        locate = str
    elif kind == "tf2":
        locate = locator(meta.names(config.model))
    else:
        locate = averages(checkpoint) if config.moving_averages else str
    unread = meta.known_unread(config.model)
    return Params(checkpoint, locate, known_unread=unread, quantized=config.quantized, **how)


# Meta-architectures: modules with normalization, predict, postprocess, exported, reading, names and known_unread.
FAMILIES = {
    name: f"visionport.models.{name}.architecture"
    for name in (
        *("ssd", "faster_rcnn", "center_net"),
        *("classification", "segmentation", "video", "retinanet", "mask_rcnn"),
    )
}
