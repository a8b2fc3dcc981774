"""Two-stage detectors: no TFLite op crops proposals, so there is no file to write."""

from visionport.errors import UnsupportedError


def check(config, options) -> None:
    """Raises UnsupportedError, always."""
    raise UnsupportedError(
        f"{config.path}: --format tflite takes SSD, CenterNet and RetinaNet models; {config.architecture} is none of "
        "these: TFLite has no op that crops a feature map at proposals. Take --format saved_model or frozen_graph."
    )
