"""The input types: what goes into a signature, how it becomes a batch of preprocessed images, and how to feed it.

Reference: exporter_lib_v2.py, exporter.py of the Object Detection API.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visionport.errors import OptionError, UnsupportedError, nearest

# ---------------------------------------------------------------- inside the graph: (preprocess, tensor) -> batch


def prepare_images(preprocess, images):
    """Images of one size, uint8 or float32 [b, h, w, 3], 0 to 255."""
    return preprocess(images)


def prepare_encoded(preprocess, data):
    """Strings [b], each a JPEG, PNG, BMP or GIF."""
    from visionport.ops import image

    return prepare_each(lambda one: preprocess(image.decode(one)[None]), data)


def prepare_examples(preprocess, data):
    """Strings [b], each a serialized tf.train.Example with `image/encoded`."""
    from visionport.ops import image

    return prepare_each(lambda one: preprocess(image.decode_example(one)[None]), data)


def prepare_clips(preprocess, data):
    """Strings [b], each a serialized tf.train.SequenceExample with a frame a step; `preprocess` decodes them."""
    return prepare_each(lambda one: preprocess(one), data)


def prepare_each(function: Callable, data):
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


# ---------------------------------------------------------------- outside of it: pictures uint8 [b, h, w, 3] -> array


def feed_pixels(pictures: np.ndarray) -> np.ndarray:
    return pictures


def feed_floats(pictures: np.ndarray) -> np.ndarray:
    return pictures.astype(np.float32)


def feed_encoded(pictures: np.ndarray) -> np.ndarray:
    return np.array([encode_png(picture) for picture in pictures], object)


def feed_examples(pictures: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    def example(picture):
        value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encode_png(picture)]))
        return tf.train.Example(features=tf.train.Features(feature={"image/encoded": value})).SerializeToString()

    return np.array([example(picture) for picture in pictures], object)


def feed_clip_examples(clips: np.ndarray) -> np.ndarray:
    """Of clips uint8 [b, frames, h, w, 3]."""
    import tensorflow as tf

    def example(clip):
        steps = [tf.train.Feature(bytes_list=tf.train.BytesList(value=[encode_png(frame)])) for frame in clip]
        lists = tf.train.FeatureLists(feature_list={"image/encoded": tf.train.FeatureList(feature=steps)})
        return tf.train.SequenceExample(feature_lists=lists).SerializeToString()

    return np.array([example(clip) for clip in clips], object)


def encode_png(picture: np.ndarray) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()


# ---------------------------------------------------------------- more inputs


@dataclass(frozen=True, kw_only=True)
class MoreInput:
    """What an input type takes besides the pictures. example: one picture's value to verify with."""

    dtype: str
    shape: tuple[int | None, ...]  # behind the batch
    example: Any


# Boxes of a picture to draw masks in: the whole, and three parts.
GIVEN_BOXES = ((0.0, 0.0, 1.0, 1.0), (0.1, 0.2, 0.7, 0.6), (0.4, 0.3, 0.9, 0.95), (0.25, 0.5, 0.5, 0.75))


# ---------------------------------------------------------------- the table


@dataclass(frozen=True, kw_only=True)
class InputType:
    """One way into a model.

    dtype: of its tensor. is_image: [b, h, w, 3]; otherwise one string a picture, [b]. prepare, feed: see above.
    snippet: how Python makes `value` of the file {image}. more: its other inputs by name.
    """

    dtype: str
    is_image: bool
    prepare: Callable
    feed: Callable
    snippet: str
    more: Mapping[str, MoreInput] = field(default_factory=dict)
    frames: bool = False  # clips: [b, frames, h, w, 3], or a string a clip
    preprocessed: bool = False  # of the network's own size, resized and normalised by whoever feeds it
    input_name: str = ""  # where it is not its lineage's

    def shape(self, batch: int | None, size: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Of its tensor. size: (height, width) of the pictures."""
        if not self.is_image:
            return (batch,)
        return (batch, *((None,) if self.frames else ()), *size, 3)


INPUT_TYPES = {
    "image_tensor": InputType(
        dtype="uint8",
        is_image=True,
        prepare=prepare_images,
        feed=feed_pixels,
        snippet='value = np.asarray(Image.open("{image}").convert("RGB"))[None]  # uint8 [1, height, width, 3]',
    ),
    "float_image_tensor": InputType(
        dtype="float32",
        is_image=True,
        prepare=prepare_images,
        feed=feed_floats,
        snippet='value = np.asarray(Image.open("{image}").convert("RGB"), np.float32)[None]  # 0 to 255',
    ),
    "encoded_image_string_tensor": InputType(
        dtype="string",
        is_image=False,
        prepare=prepare_encoded,
        feed=feed_encoded,
        snippet='value = np.array([open("{image}", "rb").read()], object)',
    ),
    "tf_example": InputType(
        dtype="string",
        is_image=False,
        prepare=prepare_examples,
        feed=feed_examples,
        snippet="""\
encoded = tf.train.Feature(bytes_list=tf.train.BytesList(value=[open("{image}", "rb").read()]))
example = tf.train.Example(features=tf.train.Features(feature={{"image/encoded": encoded}}))
value = np.array([example.SerializeToString()], object)""",
    ),
    "image_and_boxes_tensor": InputType(
        dtype="uint8",
        is_image=True,
        prepare=prepare_images,
        feed=feed_pixels,
        snippet="""\
value = np.asarray(Image.open("{image}").convert("RGB"))[None]  # uint8 [1, height, width, 3]
boxes = np.array([[[0.1, 0.2, 0.7, 0.6]]], np.float32)  # [1, n, 4] as (ymin, xmin, ymax, xmax), from 0 to 1""",
        more={"boxes": MoreInput(dtype="float32", shape=(None, 4), example=GIVEN_BOXES)},
    ),
}

ENCODED = INPUT_TYPES["encoded_image_string_tensor"]
# Official Vision's names. Reference: official/vision/serving/export_base.py.
INPUT_TYPES |= {
    "image_bytes": ENCODED,
    "serve_examples": INPUT_TYPES["tf_example"],
    "tflite": InputType(
        dtype="float32",
        is_image=True,
        prepare=prepare_images,
        feed=feed_floats,
        snippet="""\
# Resized and normalised as `preprocessing` in manifest.json says.
value = np.zeros((1, {height}, {width}, 3), np.float32)""",
        preprocessed=True,
    ),
    "clip_tensor": InputType(
        dtype="uint8",
        is_image=True,
        prepare=prepare_images,
        feed=feed_pixels,
        snippet='frames = [*ImageSequence.Iterator(Image.open("{image}"))]\n'
        'value = np.stack([np.asarray(f.convert("RGB")) for f in frames])[None]  # uint8 [1, frames, height, width, 3]',
        frames=True,
        input_name="INPUT_FRAMES",
    ),
    "clip_example": InputType(
        dtype="string",
        is_image=False,
        prepare=prepare_clips,
        feed=feed_clip_examples,
        snippet="""\
frames = [open(name, "rb").read() for name in sorted(glob.glob("frames/*.jpg"))]
steps = [tf.train.Feature(bytes_list=tf.train.BytesList(value=[frame])) for frame in frames]
lists = tf.train.FeatureLists(feature_list={{"image/encoded": tf.train.FeatureList(feature=steps)}})
value = np.array([tf.train.SequenceExample(feature_lists=lists).SerializeToString()], object)""",
        frames=True,
        input_name="encoded_inputs",
    ),
}


def type_of(config, name: str) -> InputType:
    """The input type that a config's model means by that name."""
    return INPUT_TYPES[config.input_kinds.get(name, name)]


def split_name(given: str) -> tuple[str, str]:
    """The input type, and what its signature is to be called, of TYPE or TYPE:SIGNATURE; "" where that is not said."""
    name, _, signature = given.partition(":")
    return name, signature


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """The input types asked for, known and without duplicates; raises OptionError otherwise."""
    known = [name for name, kind in INPUT_TYPES.items() if not kind.frames]
    asked = [split_name(given) for given in dict.fromkeys(names)]
    signatures = [signature or name for name, signature in asked]
    if doubled := [s for s in signatures if signatures.count(s) > 1]:
        raise OptionError(f"--input: two signatures are called {doubled[0]}. Give one another name, as TYPE:NAME.")
    for name, _ in asked:
        if name not in known:
            raise OptionError(f"--input {name!r} is unknown{nearest(name, known)}. One of: {', '.join(known)}.")
    if not names:
        raise OptionError(f"--input is empty. One or more of: {', '.join(known)}.")
    return tuple(dict.fromkeys(names))


def check_model(names: Sequence[str], config) -> None:
    """Raises UnsupportedError where the model does not take an input type."""
    for name, _ in map(split_name, names):
        if name not in config.input_types:
            why = f" {WHY[name]};" if name in WHY else ""
            raise UnsupportedError(
                f"{config.path}: --input {name}:{why} {config.architecture} takes {', '.join(config.input_types)}."
            )


WHY = {"image_and_boxes_tensor": "it is for models that draw masks in boxes given to them (DeepMAC)"}


def more_specs(name: str, batch: int | None = None) -> dict[str, Any]:
    """{name: TensorSpec} of an input type's inputs besides the pictures."""
    import tensorflow as tf

    more = INPUT_TYPES[name].more
    return {key: tf.TensorSpec((batch, *m.shape), getattr(tf, m.dtype), key) for key, m in more.items()}


def example_of(name: str, batch: int = 1) -> dict[str, np.ndarray]:
    """What to feed to those inputs."""
    more = INPUT_TYPES[name].more
    return {key: np.repeat(np.array([m.example], m.dtype), batch, axis=0) for key, m in more.items()}
