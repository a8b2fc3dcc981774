"""What a user may ask of an export, checked before anything is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from visionport.checkpoint.selection import Selection
from visionport.errors import OptionError
from visionport.formats import BY_OPTION, asked_for, check_names
from visionport.formats.opencv_options import OpencvOptions
from visionport.formats.tflite.options import TfliteOptions

if TYPE_CHECKING:  # it needs NumPy, which --help does not
    from visionport.config import SideInput

FORMATS = tuple(asked_for())
# The formats' own options, each a part of Options.
PARTS = (TfliteOptions, OpencvOptions)


@dataclass(frozen=True, kw_only=True)
class Options(OpencvOptions, TfliteOptions):
    """One export: what every format shares, and each format's own. Paths are as the user gave them."""

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
    freeze: tuple[str, ...] = ()  # regular expressions over canonical names, see checkpoint/selection.py
    keep: tuple[str, ...] = ()
    side_inputs: tuple[str, ...] = ()  # name:dtype:shape of the model's other inputs; none: as its config says
    verify: bool = True
    evaluate: Path | None = None  # TFRecord of labelled pictures, for the task's metric
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
    def written(self) -> tuple[str, ...]:
        """Every format that is written, those asked for by an option of their own behind what they need."""
        more = [name for name in BY_OPTION if getattr(self, name)]
        return (*self.formats, *more)

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

        check_names(self.formats)
        types.check_names(self.inputs)
        self.check_tflite(self.formats)
        self.check_opencv(self.formats)
        self.selection.check()
        names = [i.name for i in self.sides]
        if doubled := [n for n in names if names.count(n) > 1]:
            raise OptionError(f"--side-input {doubled[0]} is given twice.")
        if self.evaluate and not self.verify:
            raise OptionError("--evaluate is a part of verification: leave out --no-verify.")
        if self.merge and self.overwrite:
            raise OptionError("--merge and --overwrite: one of them. --merge overwrites nothing.")
        if self.batch is not None and self.batch < 1:
            raise OptionError(f"--batch {self.batch}: a number from 1, or dynamic.")
        if self.image_size is not None and min(self.image_size) < 1:
            raise OptionError(f"--image-size {self.image_size}: height and width from 1.")
