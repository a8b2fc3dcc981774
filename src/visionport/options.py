"""What a user may ask of an export, checked before anything is read."""

from dataclasses import dataclass
from pathlib import Path

from visionport.errors import OptionError, nearest

FORMATS = ("saved_model", "frozen_graph", "tflite")
TFLITE_NMS = ("regular", "fast")


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
    freeze: tuple[str, ...] = ()  # regular expressions over canonical names
    tflite_nms: str | None = None  # regular or fast; None: what the config's own NMS is
    max_detections: int | None = None  # TFLite's; None: the config's number
    verify: bool = True
    images: tuple[Path, ...] = ()  # to verify on; none: the bundled ones
    overwrite: bool = False

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
        if self.tflite_nms not in (None, *TFLITE_NMS):
            raise OptionError(f"--tflite-nms {self.tflite_nms!r} is unknown. One of: {', '.join(TFLITE_NMS)}.")
        if "tflite" not in self.formats and (self.tflite_nms or self.max_detections):
            raise OptionError("--tflite-nms and --max-detections are for TFLite: add --format tflite.")
        if self.max_detections is not None and self.max_detections < 1:
            raise OptionError(f"--max-detections {self.max_detections}: at least 1.")
        if self.batch is not None and self.batch < 1:
            raise OptionError(f"--batch {self.batch}: a number from 1, or dynamic.")
        if self.image_size is not None and min(self.image_size) < 1:
            raise OptionError(f"--image-size {self.image_size}: height and width from 1.")
