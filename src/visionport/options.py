"""What a user may ask of an export, checked before anything is read."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from visionport.checkpoint.selection import Selection
from visionport.errors import OptionError, nearest

if TYPE_CHECKING:  # it needs NumPy, which --help does not
    from visionport.config import SideInput

FORMATS = ("saved_model", "frozen_graph", "tflite")
TFLITE_NMS = ("regular", "fast")
TFLITE_HEADS = ("detections", "decoded", "raw")
TFLITE_INPUTS = ("float", "uint8", "int8")
QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "uint8", "int16x8")
CALIBRATED = ("int8", "uint8", "int16x8")
TFLITE_OUTPUTS = ("both", "named", "numbered")

NO_PICTURES = (
    "--quantize {} needs --calibration: a folder or a TFRecord of about 100 typical pictures to measure activations "
    "on. Without any, take --quantize dynamic."
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """One export. Paths are as the user gave them."""

    config: Path
    checkpoint: Path
    out: Path
    formats: tuple[str, ...] = ("saved_model",)
    inputs: tuple[str, ...] = ("image_tensor",)
    image_size: tuple[int, int] | None = None  # (height, width) of the images to come; None: any
    batch: int | None = None  # None: any
    config_override: str = ""
    labels: Path | None = None
    keypoint_label_map: Path | None = None  # of a CenterNet with keypoints; None: the config's
    freeze: tuple[str, ...] = ()  # regular expressions over canonical names, see selection.py
    keep: tuple[str, ...] = ()
    side_inputs: tuple[str, ...] = ()  # name:dtype:shape of the model's other inputs; none: as its config says
    opencv: bool = False  # a text graph for OpenCV beside the frozen graph
    tflite_nms: str | None = None  # regular or fast; None: what the config's own NMS is
    max_detections: int | None = None  # TFLite's; None: the config's number
    quantize: str | None = None  # TFLite's; None: uint8 for a quantisation-aware checkpoint, else none
    calibration: Path | None = None  # folder of pictures, or TFRecord of tf.Examples
    quantize_exclude: tuple[str, ...] = ()  # TFLite ops, or regular expressions over layers' names, that stay float32
    tflite_input: str | None = None  # None: uint8 with quantize="uint8", else float
    tflite_head: str = "detections"
    detections_per_class: int | None = None  # TFLite's regular NMS; None: the config's number
    classes_per_detection: int = 1  # the TFLite op's; more than 1 is refused
    tflite_keypoints: bool = True  # of a CenterNet that has them
    tflite_outputs: str = "both"  # named: detection_boxes...; numbered: output_0 to output_3, as the TF2 exporter's
    verify: bool = True
    evaluate: Path | None = None  # TFRecord of labelled pictures, for mean average precision
    images: tuple[Path, ...] = ()  # to verify on; none: the bundled ones
    overwrite: bool = False
    merge: bool = False  # `out` may hold other files; none of them is overwritten

    def __post_init__(self):
        """Takes strings for paths too."""
        for name in ("config", "checkpoint", "out", "labels", "keypoint_label_map", "calibration", "evaluate"):
            value = getattr(self, name)
            object.__setattr__(self, name, value if value is None else Path(value))
        object.__setattr__(self, "images", tuple(map(Path, self.images)))

    @property
    def sides(self) -> "tuple[SideInput, ...]":
        from visionport.inputs.side_inputs import parse

        return tuple(map(parse, self.side_inputs))

    @property
    def selection(self) -> Selection:
        return Selection(freeze=self.freeze, keep=self.keep)

    def check(self) -> None:
        """Raises OptionError for what is unknown or contradictory."""
        from visionport import signatures

        for name in self.formats:
            if name not in FORMATS:
                raise OptionError(
                    f"--format {name!r} is unknown{nearest(name, FORMATS)}. One of: {', '.join(FORMATS)}."
                )
        if not self.formats:
            raise OptionError(f"--format is empty. One or more of: {', '.join(FORMATS)}.")
        signatures.check(self.inputs)
        self.check_tflite()
        if self.opencv and "frozen_graph" not in self.formats:
            raise OptionError("--opencv goes with the frozen graph: add --format frozen_graph.")
        self.selection.check()
        names = [i.name for i in self.sides]
        if doubled := [n for n in names if names.count(n) > 1]:
            raise OptionError(f"--side-input {doubled[0]} is given twice.")
        if self.tflite_nms not in (None, *TFLITE_NMS):
            raise OptionError(f"--tflite-nms {self.tflite_nms!r} is unknown. One of: {', '.join(TFLITE_NMS)}.")
        if self.tflite_outputs not in TFLITE_OUTPUTS:
            raise OptionError(
                f"--tflite-outputs {self.tflite_outputs!r} is unknown. One of: {', '.join(TFLITE_OUTPUTS)}."
            )
        numbers = {
            "--max-detections": self.max_detections,
            "--detections-per-class": self.detections_per_class,
            "--classes-per-detection": self.classes_per_detection,
        }
        changed = {name for name, value in numbers.items() if value != (1 if "classes-per" in name else None)}
        changed |= {"--tflite-nms"} if self.tflite_nms else set()
        changed |= {"--tflite-outputs"} if self.tflite_outputs != "both" else set()
        changed |= set() if self.tflite_keypoints else {"--no-tflite-keypoints"}
        if "tflite" not in self.formats and changed:
            raise OptionError(f"{' and '.join(sorted(changed))}: for TFLite alone; add --format tflite.")
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise OptionError(f"{name} {value}: at least 1.")
        if self.classes_per_detection > 1:
            raise OptionError(
                f"--classes-per-detection {self.classes_per_detection}: the op then counts places, not rows, so that "
                "whoever reads as many rows as it counts loses the others; in regular mode it leaves rows unwritten. "
                "Leave it out: regular NMS gives a place once for each of its classes."
            )
        if self.evaluate and not self.verify:
            raise OptionError("--evaluate is a part of verification: leave out --no-verify.")
        if self.merge and self.overwrite:
            raise OptionError("--merge and --overwrite: one of them. --merge overwrites nothing.")
        if self.batch is not None and self.batch < 1:
            raise OptionError(f"--batch {self.batch}: a number from 1, or dynamic.")
        if self.image_size is not None and min(self.image_size) < 1:
            raise OptionError(f"--image-size {self.image_size}: height and width from 1.")

    def settled(self, quantized: bool) -> "Options":
        """With `quantize` chosen. quantized: the checkpoint is quantisation-aware."""
        chosen = "uint8" if quantized and "tflite" in self.formats else "none"
        return replace(self, quantize=self.quantize or chosen)

    def check_tflite(self) -> None:
        """What is asked of a TFLite file, besides its NMS."""
        for option, value, known in (
            ("--quantize", self.quantize, (None, *QUANTIZATIONS)),
            ("--tflite-input", self.tflite_input, (None, *TFLITE_INPUTS)),
            ("--tflite-head", self.tflite_head, TFLITE_HEADS),
        ):
            if value not in known:
                raise OptionError(f"{option} {value!r} is unknown. One of: {', '.join(v for v in known if v)}.")
        asked = {
            "--quantize": self.quantize not in (None, "none"),
            "--calibration": self.calibration,
            "--quantize-exclude": self.quantize_exclude,
            "--tflite-input": self.tflite_input,
            "--tflite-head": self.tflite_head != "detections",
        }
        for option in (name for name, given in asked.items() if given):
            if "tflite" not in self.formats:
                raise OptionError(f"{option} is for TFLite: add --format tflite.")
        quantize = self.quantize or "none"
        # uint8 needs none where the checkpoint is quantisation-aware: see formats/tflite_heads.py.
        if quantize in ("int8", "int16x8") and not self.calibration:
            raise OptionError(NO_PICTURES.format(quantize))
        if self.calibration and quantize not in CALIBRATED:
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
        of_op = {
            "--tflite-nms": self.tflite_nms,
            "--max-detections": self.max_detections,
            "--detections-per-class": self.detections_per_class,
            "--tflite-outputs": self.tflite_outputs != "both",
        }
        given = [option for option, value in of_op.items() if value]
        if self.tflite_head != "detections" and given:
            raise OptionError(
                f"{' and '.join(given)}: of detections, which --tflite-head {self.tflite_head} leaves out."
            )
