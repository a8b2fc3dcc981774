"""A config and a checkpoint become a model: functions over variables that hold the checkpoint's values."""

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from visionport.config import Config, Ssd
from visionport.config_center_net import CenterNet
from visionport.config_faster_rcnn import FasterRcnn
from visionport.errors import ConfigError, OptionError, UnsupportedError
from visionport.params import Params

# Canonical (slim) leaf names -> Keras's.
LEAVES = {
    "weights": "kernel",
    "biases": "bias",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
}


# Meta-architectures: packages beside this module, whose `architecture` has normalization, predict, postprocess, names
# and known_unread.
META = {Ssd: "ssd", CenterNet: "center_net", FasterRcnn: "faster_rcnn"}

# The reference's classes are 1-based: 0 is the background.
LABEL_ID_OFFSET = 1


@dataclass(frozen=True, kw_only=True)
class Model:
    """What export, verification and prediction work with. All functions are plain TensorFlow, to be traced.

    meta: the meta-architecture's module.
    preprocess: uint8 or float32 [b, h, w, 3] -> (float32 [b, H, W, c], int32 [b, 3] sizes without padding).
    predict: what preprocess gives -> dict of raw answers (see models/ssd/architecture.py: predict).
    detect: the same -> dict of the reference's outputs, float32; a concrete function, traced once.
    input_size: (H, W, c), None where the image decides.
    """

    config: Config
    params: Params
    meta: ModuleType
    preprocess: Callable
    predict: Callable
    detect: Any
    input_size: tuple[int | None, int | None, int]


def build(config: Config, checkpoint, *, freeze: Sequence[str] = (), batch: int | None = None) -> Model:
    """The model, every weight read once and every function traced once.

    Raises MismatchError when checkpoint and config do not fit, UnsupportedError when the config asks for what is not
    supported (see docs/support.md).
    """
    import tensorflow as tf

    from visionport.ops import image

    meta = meta_of(config)
    with about(config):
        params = params_for(config, checkpoint, freeze=freeze)
    size = input_size(config)
    scope = params.scope()

    def predict(images, true_shapes):
        return meta.predict(config.model, scope, images, true_shapes)

    def detect(images, true_shapes):
        outputs = meta.postprocess(config.model, scope, predict(images, true_shapes), images, true_shapes)
        outputs["detection_classes"] = tf.cast(outputs["detection_classes"], tf.float32) + LABEL_ID_OFFSET
        if config.api == "tf1":
            outputs.pop("detection_anchor_indices", None)
        return {k: tf.cast(v, tf.float32) for k, v in outputs.items()}

    specs = tf.TensorSpec((batch, *size), tf.float32, "images"), tf.TensorSpec((batch, 3), tf.int32, "true_shapes")
    with about(config):
        concrete = tf.function(detect, autograph=False).get_concrete_function(*specs)
    params.check(str(checkpoint.prefix), config.architecture)
    for pattern in freeze:
        if not any(re.search(pattern, name) for name in params.keys):
            first = next(iter(params.keys))
            raise OptionError(f"--freeze {pattern!r} matches no variable. They have names such as {first}.")
    return Model(
        config=config,
        params=params,
        meta=meta,
        preprocess=lambda images: image.preprocess(images, config.model.resizer, meta.normalization(config.model)),
        predict=predict,
        detect=concrete,
        input_size=size,
    )


def check(config: Config, checkpoint) -> Params:
    """Do they fit? By names and shapes alone: the checkpoint's index is enough. Raises as `build` does."""
    import tensorflow as tf

    meta = meta_of(config)
    with about(config):
        params = params_for(config, checkpoint, dry=True)
    scope = params.scope()
    with about(config), tf.Graph().as_default():
        images = tf.raw_ops.Placeholder(dtype=tf.float32, shape=(None, *input_size(config)))
        shapes = tf.raw_ops.Placeholder(dtype=tf.int32, shape=(None, 3))
        meta.postprocess(config.model, scope, meta.predict(config.model, scope, images, shapes), images, shapes)
    params.check(str(checkpoint.prefix), config.architecture)
    return params


@contextmanager
def about(config: Config) -> Iterator[None]:
    """Names the config in what a model's own code refuses."""
    try:
        yield
    except UnsupportedError as e:
        raise UnsupportedError(f"{config.path}: {e}") from e


def meta_of(config: Config) -> ModuleType:
    return importlib.import_module(f"visionport.models.{META[type(config.model)]}.architecture")


def input_size(config: Config) -> tuple[int | None, int | None, int]:
    from visionport.ops import image

    height, width = image.fixed_size(config.model.resizer) or (None, None)
    return height, width, image.channels(config.model.resizer)


def params_for(config: Config, checkpoint, **how) -> Params:
    if checkpoint.kind != config.api:
        kinds = {"tf1": "a TF1 checkpoint (names)", "tf2": "a TF2 checkpoint (object graph)"}
        raise ConfigError(
            f"{config.path}: {config.architecture} is trained to {kinds[config.api]}, but {checkpoint.prefix} is "
            f"{kinds[checkpoint.kind]}. Give the config it was trained with."
        )
    meta = meta_of(config)
    if config.api == "tf2":
        locate = locator(meta.names(config.model))
    else:
        locate = averages(checkpoint) if config.moving_averages else str
    return Params(checkpoint, locate, known_unread=meta.known_unread(config.model), **how)


def averages(checkpoint) -> Callable[[str], str]:
    """TF1 name -> the name of its moving average, where it has one."""

    def locate(name: str) -> str:
        average = f"{name}/ExponentialMovingAverage"
        return average if average in checkpoint.entries else name

    return locate


def locator(names: Mapping[str, str]) -> Callable[[str], str | None]:
    """Canonical name -> object path, by the table of scopes; "*" in a scope stands for a depth, "/**" for all below."""
    below = {k.removesuffix("**"): v for k, v in names.items() if k.endswith("/**")}

    def locate(name: str) -> str | None:
        scope, _, leaf = name.rpartition("/")
        path = names.get(scope) or names.get(re.sub(r"_1x1_\d+", "_1x1_*", scope))
        path = path or next((f"{v}/{scope.removeprefix(k)}" for k, v in below.items() if scope.startswith(k)), None)
        return f"{path}/{LEAVES.get(leaf, leaf)}" if path else None

    return locate
