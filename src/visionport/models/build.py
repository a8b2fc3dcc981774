"""A config and a checkpoint become a model: functions over variables that hold the checkpoint's values."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from visionport.config import Config
from visionport.errors import ConfigError
from visionport.ops import image
from visionport.params import Params

# Canonical (slim) leaf names -> Keras's.
LEAVES = {
    "weights": "kernel",
    "biases": "bias",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
}


@dataclass(frozen=True, kw_only=True)
class Model:
    """What export, verification and prediction work with. All functions are plain TensorFlow, to be traced.

    preprocess: uint8 or float32 [b, h, w, 3] -> (float32 [b, H, W, c], int32 [b, 3]).
    heads: float32 [b, H, W, c] -> dict of raw answers (see models/ssd.py: predict).
    detect: (float32 [b, H, W, c], int32 [b, 3]) -> dict of the reference's outputs; a concrete function, traced once.
    input_size: (H, W, c), None where the image decides.
    """

    config: Config
    params: Params
    preprocess: Callable
    heads: Callable
    detect: Any
    input_size: tuple[int | None, int | None, int]


def build(config: Config, checkpoint, *, freeze: Sequence[str] = (), batch: int | None = None) -> Model:
    """The model, every weight read once and every function traced once.

    Raises MismatchError when checkpoint and config do not fit, UnsupportedError when the config asks for what is not
    supported (see docs/support.md).
    """
    import tensorflow as tf

    from visionport.models import ssd

    params = params_for(config, checkpoint, freeze=freeze)
    scope = params.scope()
    height, width = image.fixed_size(config.model.resizer) or (None, None)
    size = (height, width, image.channels(config.model.resizer))

    def heads(images):
        return ssd.predict(config.model, scope, images)

    def detect(images, true_shapes):
        return ssd.postprocess(config.model, heads(images), images, true_shapes)

    concrete = tf.function(detect, autograph=False).get_concrete_function(
        tf.TensorSpec((batch, *size), tf.float32, "images"), tf.TensorSpec((batch, 3), tf.int32, "true_shapes")
    )
    params.check(str(checkpoint.prefix), config.architecture)
    return Model(
        config=config,
        params=params,
        preprocess=lambda images: ssd.preprocess(config.model, images),
        heads=heads,
        detect=concrete,
        input_size=size,
    )


def check(config: Config, checkpoint) -> Params:
    """Do they fit? By names and shapes alone: the checkpoint's index is enough. Raises as `build` does."""
    import tensorflow as tf

    from visionport.models import ssd

    params = params_for(config, checkpoint, dry=True)
    size = image.fixed_size(config.model.resizer) or (None, None)
    with tf.Graph().as_default():
        images = tf.raw_ops.Placeholder(dtype=tf.float32, shape=(None, *size, image.channels(config.model.resizer)))
        ssd.predict(config.model, params.scope(), images)
    params.check(str(checkpoint.prefix), config.architecture)
    return params


def params_for(config: Config, checkpoint, **how) -> Params:
    from visionport.models import ssd

    if checkpoint.kind != "tf2":
        raise ConfigError(
            f"{config.path}: {config.architecture} is a TF2 model, but {checkpoint.prefix} is a TF1 checkpoint. "
            "Give the config it was trained with."
        )
    return Params(checkpoint, locator(ssd.names(config.model)), **how)


def locator(names: Mapping[str, str]) -> Callable[[str], str | None]:
    """Canonical name -> object path, by the table of scopes; "*" in a scope stands for a depth."""

    def locate(name: str) -> str | None:
        scope, _, leaf = name.rpartition("/")
        path = names.get(scope) or names.get(re.sub(r"_1x1_\d+", "_1x1_*", scope))
        return f"{path}/{LEAVES.get(leaf, leaf)}" if path else None

    return locate
