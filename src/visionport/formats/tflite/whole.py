"""Any other model in TFLite: from the preprocessed image to every output, by builtin ops alone."""

from visionport.errors import OptionError, UnsupportedError
from visionport.formats.base import Reading
from visionport.formats.options import changed
from visionport.formats.tflite.heads import (
    INPUT,
    check_quantization,
    convert_network,
    normalization,
    normalizes,
    takes_bytes,
)
from visionport.formats.tflite.options import TfliteOptions
from visionport.inputs import calibration
from visionport.tflite import edit, metadata

OF_DETECTORS = {"--tflite-nms", "--max-detections", "--no-tflite-keypoints", "--tflite-head", "--detections-per-class"}
OF_DETECTORS |= {"--classes-per-detection", "--tflite-outputs"}


def check(config, options) -> None:
    """Raises OptionError for what is asked of detectors, UnsupportedError for an input size that is not fixed."""
    check_quantization(config, options)
    wrong = sorted(OF_DETECTORS.intersection(changed(TfliteOptions, options)))
    if wrong:
        raise OptionError(f"{' and '.join(wrong)}: for detectors, and {config.architecture} is none. Leave it out.")
    if options.batch not in (None, 1):
        raise UnsupportedError(f"{config.path}: --format tflite is for a batch of 1; leave out --batch.")
    if options.calibration:
        calibration.sources(options.calibration)


def convert(model, options, progress) -> bytes:
    """The file without metadata; its outputs in the order of their names."""
    import tensorflow as tf

    from visionport.ops import image, nn

    pixels = normalizes(model.config, options)

    def whole(images):
        x = image.normalize(tf.cast(images, tf.float32), normalization(model.config)) if pixels else images
        with nn.for_tflite():
            found = {name: value for name, value in model.answer(x).items() if name not in model.of_pictures}
            return {name: tf.identity(value) for name, value in found.items()}

    if None in model.input_size:
        raise UnsupportedError(f"{model.config.path}: --format tflite needs an input size that the config fixes.")
    dtype = "uint8" if pixels and takes_bytes(options) else "float32"
    spec = tf.TensorSpec((1, *model.input_size), tf.dtypes.as_dtype(dtype), name=INPUT)
    function = tf.function(whole, autograph=False).get_concrete_function(spec)
    data = convert_network(function, model, options, progress, input_name=INPUT, pixels=pixels, integer_outputs=False)
    return edit.reorder_outputs(data, metadata.in_order(function.structured_outputs))


def reading(config, options) -> Reading:
    """The outputs mean what the model's do."""
    from visionport.models.build import reading

    return Reading(input=INPUT, type="preprocessed", answers=reading(config))


def left_out(config, options) -> str:
    """Why outputs of the model are not in the file: none is left out."""
    return ""


def differs(config, options) -> str:
    """Why its answers differ by design: they do not."""
    return ""


def probe(model, options, prediction, images) -> dict:
    """It shows nothing but its outputs."""
    return {}


def refused_by(config, options) -> str:
    """Which reader will not load the file as it is: none is known."""
    return ""


def outside(config):
    """The normalisation that is left to whoever feeds the file."""
    return normalization(config)
