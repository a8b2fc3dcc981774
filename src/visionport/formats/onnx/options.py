"""What may be asked of an ONNX file."""

from dataclasses import dataclass

from visionport.errors import OptionError
from visionport.formats.options import HEADS, changed, option
from visionport.onnx.opsets import OPSET, OPSETS

PREPROCESSING = ("inside", "outside")


@dataclass(frozen=True, kw_only=True)
class OnnxOptions:
    """Each of them is for `--format onnx` alone."""

    onnx_head: str = option(
        HEADS[0],
        "Choose what comes out. detections: as of the SavedModel, with ONNX's own suppression; decoded: boxes and "
        "scores of all anchors or proposals; raw: box encodings and scores, or a CenterNet's maps.",
        choices=HEADS,
    )
    onnx_preprocessing: str = option(
        PREPROCESSING[0],
        "Choose what goes in. inside: pictures, as --input says; outside: what the network takes, resized and "
        "normalised by the caller.",
        choices=PREPROCESSING,
    )
    opset: int = option(OPSET, f"Version of ONNX's operations, from {OPSETS[0]} to {OPSETS[-1]}.", kind=int)

    def check_onnx(self, formats: tuple[str, ...]) -> None:
        """Raises OptionError for what is unknown or contradictory. formats: what is exported."""
        given = changed(OnnxOptions, self)
        if "onnx" not in formats and given:
            raise OptionError(f"{' and '.join(sorted(given))}: for ONNX alone; add --format onnx.")
        for flag, value, known in (
            ("--onnx-head", self.onnx_head, HEADS),
            ("--onnx-preprocessing", self.onnx_preprocessing, PREPROCESSING),
        ):
            if value not in known:
                raise OptionError(f"{flag} {value!r} is unknown. One of: {', '.join(known)}.")
        if self.opset not in OPSETS:
            raise OptionError(
                f"--opset {self.opset}: versions {OPSETS[0]} to {OPSETS[-1]} of ONNX's operations are written. "
                f"Leave it out for {OPSET}, which all of today's runtimes read."
            )
