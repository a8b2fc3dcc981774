"""What may be asked of a TensorFlow.js model."""

from dataclasses import dataclass

from visionport.errors import OptionError
from visionport.formats.options import HEADS, changed, option

QUANTIZATIONS = ("none", "float16", "uint16", "uint8")


@dataclass(frozen=True, kw_only=True)
class TfjsOptions:
    """Each of them is for `--format tfjs` alone."""

    tfjs_head: str = option(
        HEADS[0],
        "Choose what comes out. detections: the model's answers, an SSD's and a RetinaNet's suppressed by detect.js, "
        "which lies beside; decoded: boxes and scores of all anchors; raw: box encodings and scores, or a CenterNet's "
        "maps.",
        choices=HEADS,
    )
    tfjs_quantize: str = option(
        QUANTIZATIONS[0],
        "Choose how weights are stored, to be fetched faster: calculated is in float32 all the same.",
        choices=QUANTIZATIONS,
    )

    def check_tfjs(self, formats: tuple[str, ...]) -> None:
        """Raises OptionError for what is unknown or contradictory. formats: what is exported."""
        given = changed(TfjsOptions, self)
        if "tfjs" not in formats and given:
            raise OptionError(f"{' and '.join(sorted(given))}: for TensorFlow.js alone; add --format tfjs.")
        for flag, value, known in (
            ("--tfjs-head", self.tfjs_head, HEADS),
            ("--tfjs-quantize", self.tfjs_quantize, QUANTIZATIONS),
        ):
            if value not in known:
                raise OptionError(f"{flag} {value!r} is unknown. One of: {', '.join(known)}.")
