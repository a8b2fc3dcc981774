"""What a user may ask of an export, checked before anything is read."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionport.checkpoint.find import locate
from visionport.checkpoint.selection import Selection
from visionport.config.ranges import BATCH, check_image_size, check_option
from visionport.errors import OptionError
from visionport.filetypes import check_name
from visionport.formats import BY_OPTION, asked_for, check_names
from visionport.formats.onnx.options import OnnxOptions
from visionport.formats.opencv_options import OpencvOptions
from visionport.formats.openvino.options import OpenvinoOptions
from visionport.formats.saved_model_options import SavedModelOptions
from visionport.formats.tfjs.options import TfjsOptions
from visionport.formats.tflite.options import TfliteOptions

if TYPE_CHECKING:  # it needs NumPy, which --help does not
    from visionport.config import SideInput

FORMATS = tuple(asked_for())
NAME = re.compile(r"[A-Za-z0-9.][\w./-]*", re.ASCII)  # of a node
# The formats' own options, each a part of Options.
PARTS = (SavedModelOptions, TfliteOptions, OnnxOptions, OpenvinoOptions, TfjsOptions, OpencvOptions)


@dataclass(frozen=True, kw_only=True)
class Options(OpencvOptions, TfjsOptions, OpenvinoOptions, OnnxOptions, TfliteOptions, SavedModelOptions):
    """One export: what every format shares, and each format's own. Paths are as the user gave them."""

    config: Path | None = None  # pipeline.config, or a params.yaml of Official Vision; or a folder that holds one
    experiment: str | None = None  # of Official Vision; None: told by the files
    config_files: tuple[Path, ...] = ()  # of Official Vision, over the experiment's defaults, in order
    params_override: tuple[str, ...] = ()  # the same as text, over those
    checkpoint: Path
    ema: bool = False  # averages of the weights in place of the weights
    out: Path
    formats: tuple[str, ...] = ("saved_model",)
    inputs: tuple[str, ...] = ("image_tensor",)
    input_name: str = ""  # of the signatures' image input; none: the reference's
    image_size: tuple[int, int] | None = None  # (height, width) of the images to come, or of Official Vision's network
    batch: int | None = None  # None: any
    config_override: str = ""
    score_threshold: float | None = None  # of NMS, from 0 to 1; None: the config's
    labels: Path | None = None
    keypoint_label_map: Path | None = None  # of a CenterNet with keypoints; None: the config's
    freeze: tuple[str, ...] = ()  # regular expressions over canonical names, see checkpoint/selection.py
    keep: tuple[str, ...] = ()
    side_inputs: tuple[str, ...] = ()  # name:dtype:shape of the model's other inputs; none: as its config says
    flops: bool = False  # count operations and parameters
    verify: bool = True
    evaluate: Path | None = None  # TFRecord of labelled pictures, for the task's metric
    images: tuple[Path, ...] = ()  # to verify on; none: the bundled ones
    timed: bool = False  # report.html has the date and times, and is another each time
    overwrite: bool = False
    merge: bool = False  # `out` may hold other files; none of them is overwritten

    def __post_init__(self):
        """Takes strings for paths too."""
        for name in ("config", "checkpoint", "out", "labels", "keypoint_label_map", "calibration", "evaluate"):
            value = getattr(self, name)
            object.__setattr__(self, name, value if value is None else Path(value))
        for name in ("images", "config_files"):
            object.__setattr__(self, name, tuple(map(Path, getattr(self, name))))
        if isinstance(self.params_override, str):
            object.__setattr__(self, "params_override", (self.params_override,) if self.params_override else ())

    @property
    def written(self) -> tuple[str, ...]:
        """Every format that is written, those asked for by an option of their own behind what they need."""
        more = [name for name in BY_OPTION if getattr(self, name)]
        return (*self.formats, *more)

    @property
    def files(self) -> list[Path]:
        """The files and folders that are read."""
        given = (self.config, *self.config_files, self.checkpoint, self.labels, self.keypoint_label_map, *self.images)
        return [path for path in (*given, self.calibration, self.evaluate) if path]

    @property
    def config_request(self) -> dict[str, Any]:
        """What `read_config` is asked."""
        return {
            "path": self.config,
            "override": self.config_override,
            "labels": self.labels,
            "keypoint_label_map": self.keypoint_label_map,
            "experiment": self.experiment,
            "config_files": self.config_files,
            "params_override": self.params_override,
            "image_size": self.image_size,
            "batch": self.batch,
            "score_threshold": self.score_threshold,
        }

    @property
    def sides(self) -> "tuple[SideInput, ...]":
        from visionport.inputs.side_inputs import parse

        return tuple(map(parse, self.side_inputs))

    @property
    def selection(self) -> Selection:
        return Selection(freeze=self.freeze, keep=self.keep)

    def check(self) -> None:
        """Raises OptionError for what is unknown or contradictory."""
        from visionport.inputs import types

        if not (self.config or self.experiment or self.config_files):
            raise OptionError(
                "no config is given: name a pipeline.config with --config, or an experiment of Official Vision with "
                "--experiment."
            )
        check_names(self.formats)
        types.check_names(self.inputs)
        self.check_tflite(self.formats, calibrated=self.is_calibrated_for_openvino(self.formats))
        self.check_onnx(self.formats)
        self.check_openvino(self.formats)
        self.check_tfjs(self.formats)
        self.check_opencv(self.formats)
        self.check_saved_model(self.formats)
        self.selection.check()
        names = [i.name for i in self.sides]
        if doubled := [n for n in names if names.count(n) > 1]:
            raise OptionError(f"--side-input {doubled[0]} is given twice.")
        if self.evaluate and not self.verify:
            raise OptionError("--evaluate is a part of verification: leave out --no-verify.")
        if self.merge and self.overwrite:
            raise OptionError("--merge and --overwrite: one of them. --merge overwrites nothing.")
        if self.score_threshold is not None and not 0 <= self.score_threshold < 1:
            raise OptionError(f"--score-threshold {self.score_threshold}: from 0 to below 1.")
        if self.input_name and not NAME.fullmatch(self.input_name):
            raise OptionError(
                f"--input-name {self.input_name!r}: TensorFlow takes letters, digits and _ . - / alone, and none of "
                "_ - / first."
            )
        check_option("--batch", self.batch, BATCH)
        check_image_size(self.image_size)
        for path in (self.checkpoint, self.out, self.calibration, self.evaluate):
            if path:
                check_name(path, OptionError)
        locate(self.checkpoint)  # what is no checkpoint is told before TensorFlow is imported
