"""What the architectures' files share: the type of the input, quantisation as asked for, pictures to calibrate with."""

import numpy as np

from visionport.config import Normalization
from visionport.errors import OptionError
from visionport.formats.tflite.options import NO_PICTURES
from visionport.inputs import calibration
from visionport.inputs.preprocessing import describe, of_pixels, prepare, to_pixels
from visionport.inputs.quantization import EIGHT_BITS
from visionport.tflite import convert as tflite_convert
from visionport.tflite.kinds import CALIBRATED

INPUT = "normalized_input_image_tensor"


def check_quantization(config, options) -> None:
    """Raises where a quantisation-aware checkpoint, or any other, cannot have the 8 bits that are asked for."""
    quantize = settled_quantization(config, options)
    if not config.quantized:
        if quantize == "uint8" and not options.calibration:
            raise OptionError(NO_PICTURES.format("uint8"))
        return
    if quantize not in ("uint8", "none"):
        raise OptionError(
            f"--quantize {quantize}: this checkpoint was trained for 8 bits (graph_rewriter) and gives them by "
            "itself: leave it out, or take --quantize none for a float32 file that rounds as the 8 bits do."
        )
    if options.calibration:
        raise OptionError("--calibration is of no use: this checkpoint was trained with its ranges (graph_rewriter).")
    if quantize == "none":
        return
    if options.quantize_exclude:
        raise OptionError("--quantize-exclude: a quantisation-aware checkpoint's 8 bits are for all of its network.")
    if options.tflite_input == "float":
        raise OptionError(
            "--tflite-input float: the 8-bit file of a quantisation-aware checkpoint takes pixels. Add --quantize none."
        )
    if options.tflite_head == "decoded":
        raise OptionError(
            "--tflite-head decoded: nothing was trained to hold boxes in 8 bits. Take raw, or add --quantize none."
        )


def settled_quantization(config, options) -> str:
    """As asked for; otherwise the 8 bits that a quantisation-aware checkpoint was trained for, or none."""
    return options.quantize or ("uint8" if config.quantized else "none")


def trained(config, options) -> bool:
    """Is the file made of the 8 bits that the network was trained for? Options are settled."""
    return config.quantized and options.quantize == "uint8"


def input_type(options) -> str:
    """float32: preprocessed. uint8: resized pixels. int8: preprocessed, then quantised by the input's scale."""
    if options.quantize == "uint8":
        return "uint8"
    return options.tflite_input if options.tflite_input in EIGHT_BITS else "float32"


def normalizes(config, options) -> bool:
    """Is the normalisation of pixels the first of the graph?

    With a uint8 input it is, unless the scale and zero point of that input do it for nothing: in a fully quantised
    file, where one mean and one std do for all channels.
    """
    if input_type(options) != "uint8":
        return False
    n = normalization(config)
    return not (options.quantize in EIGHT_BITS and len(set(n.mean)) == len(set(n.std)) == 1 and not n.bgr)


def normalization(config) -> Normalization:
    """What a file normalises resized pixels by; see inputs/preprocessing.py: of_pixels. config: a Config."""
    from visionport.models.build import meta_of

    return of_pixels(config.model.resizer, meta_of(config).normalization(config.model))


def takes_bytes(options) -> bool:
    """Does the network itself take uint8? Not in a fully quantised file, whose input the converter makes so."""
    return input_type(options) == "uint8" and options.quantize not in EIGHT_BITS


def convert_network(
    function, model, options, progress, *, input_name: str, pixels: bool, integer_outputs: bool
) -> bytes:
    """TFLite of a network's concrete function, quantised as the options say; see tflite/convert.py.

    pixels: it takes RGB from 0 to 255, otherwise what is preprocessed. integer_outputs: of a fully quantised file, the
    outputs are integers as the input is.
    """
    kind = input_type(options)
    integer = kind if options.quantize in EIGHT_BITS and kind != "float32" else ""
    measured = options.calibration if options.quantize in CALIBRATED else None
    examples = calibration_examples(model, measured, pixels=pixels) if measured else ()
    if examples and (told := calibration.few(len(examples), options.quantize)):
        progress.warn(told)
    with progress.bar("calibrate", examples) as followed:
        request = tflite_convert.FileRequest(
            inputs=(input_name,),
            outputs=sorted(function.structured_outputs),
            quantize=options.quantize,
            integer_input=integer,
            integer_output=integer if integer_outputs else "",
            examples=followed if measured else None,
            exclude=options.quantize_exclude,
        )
        return tflite_convert.convert_function(function, request)


def calibration_examples(model, path, *, pixels: bool) -> calibration.Examples:
    """The calibration pictures as the function takes them, float32 [1, H, W, c]."""
    resizer = model.config.model.resizer
    outside = describe(resizer, model.meta.normalization(model.config.model))
    inside = describe(resizer, normalization(model.config))
    black, white = (prepare(np.full((8, 8, 3), gray, np.uint8), outside)[0][0, 0, 0] for gray in (0, 255))
    return calibration.Examples(
        read=lambda: calibration.prepare_pictures(path, outside),
        count=calibration.count(path),
        ends=(black, white),
        trace=(lambda value: to_pixels(value, inside).astype(np.float32)) if pixels else None,
    )
