"""What may be asked of an OpenVINO model."""

from dataclasses import dataclass

from visionport.errors import OptionError
from visionport.formats.options import HEADS, changed, option

PRECISIONS = ("f32", "f16", "int8")
MODEL_API = "model_api"
ALL_HEADS = (*HEADS, MODEL_API)


@dataclass(frozen=True, kw_only=True)
class OpenvinoOptions:
    """Each of them is for `--format openvino` alone."""

    openvino_precision: str = option(
        "f32",
        "Choose what the OpenVINO model's weights are. f16: half the size; int8: calculates in 8 bits too, measured on "
        "the pictures of --calibration.",
        choices=PRECISIONS,
    )
    openvino_head: str = option(
        "detections",
        "Choose what comes out of the OpenVINO model. detections: with NMS; decoded: boxes and scores of all anchors; "
        "raw: what the network itself says; model_api: what OpenVINO's Model API and Deep Learning Streamer read.",
        choices=ALL_HEADS,
    )

    def check_openvino(self, formats: tuple[str, ...]) -> None:
        """Raises OptionError for what is unknown or contradictory. formats: what is exported."""
        given = changed(OpenvinoOptions, self)
        if "openvino" not in formats and given:
            raise OptionError(f"{' and '.join(sorted(given))}: for OpenVINO alone; add --format openvino.")
        for flag, value, known in (
            ("--openvino-precision", self.openvino_precision, PRECISIONS),
            ("--openvino-head", self.openvino_head, ALL_HEADS),
        ):
            if value not in known:
                raise OptionError(f"{flag} {value!r} is unknown. One of: {', '.join(known)}.")
        if self.is_calibrated_for_openvino(formats) and not getattr(self, "calibration", None):
            raise OptionError(
                "--openvino-precision int8 needs --calibration: a folder or a TFRecord of about 100 typical pictures "
                "to measure activations on. Without any, take f16."
            )

    def is_calibrated_for_openvino(self, formats: tuple[str, ...]) -> bool:
        """Whether the pictures of --calibration are read for the OpenVINO model."""
        return "openvino" in formats and self.openvino_precision == "int8"
