"""What may be asked of a TFLite file."""

from dataclasses import dataclass
from pathlib import Path

from visionport.config.ranges import DETECTIONS, check_option
from visionport.errors import OptionError
from visionport.formats.options import changed, option
from visionport.tflite.kinds import CALIBRATED, QUANTIZATIONS

NMS_MODES = ("regular", "fast")
HEADS = ("detections", "decoded", "raw")
INPUTS = ("float", "uint8", "int8")
OUTPUT_NAMES = ("both", "named", "numbered")

NO_PICTURES = (
    "--quantize {} needs --calibration: a folder or a TFRecord of about 100 typical pictures to measure activations "
    "on. Without any, take --quantize dynamic."
)


@dataclass(frozen=True, kw_only=True)
class TfliteOptions:
    """Each of them is for `--format tflite` alone."""

    tflite_nms: str | None = option(
        None,
        "Choose how the TFLite op suppresses: each class by itself, or one class in each place. Default: as the config "
        "does: regular, or fast where it is class-agnostic.",
        choices=NMS_MODES,
    )
    max_detections: int | None = option(
        None, "Give at most so many detections in the TFLite file. Default: the config's number.", kind=int
    )
    tflite_keypoints: bool = option(
        True, "Give a CenterNet's keypoints too in the TFLite file.", flag="--tflite-keypoints/--no-tflite-keypoints"
    )
    quantize: str | None = option(
        None,
        "Quantise the TFLite file. Default: none; uint8 for a quantisation-aware checkpoint, which needs no "
        "calibration.",
        choices=QUANTIZATIONS,
    )
    calibration: Path | None = option(
        None,
        "Measure activations on these pictures, for int8, uint8 and int16x8: a folder, or a TFRecord of tf.Examples, "
        "of about 100 typical ones.",
        kind=Path,
    )
    tflite_input: str | None = option(
        None,
        "Choose what goes in. float: normalised; uint8: pixels, normalised inside; int8: with --quantize int8. "
        "Default: float; uint8 with "
        "--quantize uint8.",
        choices=INPUTS,
    )
    tflite_head: str = option(
        "detections",
        "Choose what comes out. detections: with the NMS op; decoded: boxes and scores of all anchors; raw: box "
        "encodings and scores.",
        choices=HEADS,
    )
    detections_per_class: int | None = option(
        None, "Give at most so many detections of a class, in regular NMS. Default: the config's number.", kind=int
    )
    classes_per_detection: int = option(
        1, "Give a place so many classes. More than 1 is refused, since the op then counts places, not rows.", kind=int
    )
    tflite_outputs: str = option(
        "both",
        "Name the outputs in the TFLite signature: detection_boxes and so on, output_0 (count) to output_3 (boxes), or "
        "both.",
        choices=OUTPUT_NAMES,
    )
    quantize_exclude: tuple[str, ...] = option(
        (),
        "Keep in float32 with --quantize int8 or uint8: TFLite ops (DEPTHWISE_CONV_2D), or regular expressions over "
        "layers' names.",
        kind="list",
    )

    def check_tflite(self, formats: tuple[str, ...], *, calibrated: bool = False) -> None:
        """Raises OptionError for what is unknown or contradictory.

        formats: what is exported. calibrated: another of them is, so that the pictures are of use.
        """
        given = changed(TfliteOptions, self)
        given = [flag for flag in given if not (flag == "--quantize" and self.quantize == "none")]
        given = [flag for flag in given if not (flag == "--calibration" and calibrated)]
        if "tflite" not in formats and given:
            raise OptionError(f"{' and '.join(sorted(given))}: for TFLite alone; add --format tflite.")
        self._check_choices()
        self._check_quantization(calibrated)
        self._check_detections()

    def _check_choices(self) -> None:
        for option_, value, known in (
            ("--quantize", self.quantize, (None, *QUANTIZATIONS)),
            ("--tflite-input", self.tflite_input, (None, *INPUTS)),
            ("--tflite-head", self.tflite_head, HEADS),
            ("--tflite-nms", self.tflite_nms, (None, *NMS_MODES)),
            ("--tflite-outputs", self.tflite_outputs, OUTPUT_NAMES),
        ):
            if value not in known:
                raise OptionError(f"{option_} {value!r} is unknown. One of: {', '.join(v for v in known if v)}.")

    def _check_quantization(self, calibrated: bool) -> None:
        quantize = self.quantize or "none"
        # uint8 needs none where the checkpoint is quantisation-aware: see heads.py.
        if quantize in ("int8", "int16x8") and not self.calibration:
            raise OptionError(NO_PICTURES.format(quantize))
        if self.calibration and quantize not in CALIBRATED and not calibrated:
            raise OptionError(
                f"--calibration is of no use to --quantize {quantize}; {', '.join(CALIBRATED)} are calibrated."
            )
        if self.quantize_exclude and quantize not in ("int8", "uint8"):
            raise OptionError(f"--quantize-exclude is for --quantize int8 and uint8, not {quantize}.")
        if self.tflite_input == "int8" and quantize != "int8":
            raise OptionError(f"--tflite-input int8 needs --quantize int8, not {quantize}.")
        if self.quantize == "uint8" and self.tflite_input == "float":
            raise OptionError("--quantize uint8 is int8 with a uint8 input; for a float one take --quantize int8.")
        if self.quantize == "int16x8" and self.tflite_input == "uint8":
            raise OptionError("--quantize int16x8 takes a float input; leave out --tflite-input.")

    def _check_detections(self) -> None:
        numbers = {
            "--max-detections": self.max_detections,
            "--detections-per-class": self.detections_per_class,
            "--classes-per-detection": self.classes_per_detection,
        }
        for name, value in numbers.items():
            check_option(name, value, DETECTIONS)
        if self.classes_per_detection > 1:
            raise OptionError(
                f"--classes-per-detection {self.classes_per_detection}: the op then counts places, not rows, so that "
                "whoever reads as many rows as it counts loses the others; in regular mode it leaves rows unwritten. "
                "Leave it out: regular NMS gives a place once for each of its classes."
            )
        of_op = {
            "--tflite-nms": self.tflite_nms,
            "--max-detections": self.max_detections,
            "--detections-per-class": self.detections_per_class,
            "--tflite-outputs": self.tflite_outputs != "both",
        }
        given = [name for name, value in of_op.items() if value]
        if self.tflite_head != "detections" and given:
            raise OptionError(
                f"{' and '.join(given)}: of detections, which --tflite-head {self.tflite_head} leaves out."
            )
