"""What quantisation costs each layer of a TFLite file, as checks that report and do not judge."""

from collections.abc import Sequence

from visionport.tflite.layers import Layer
from visionport.verification.checks import Check

SHOWN = 10  # the layers that lost most


def layer_checks(found: Sequence[Layer]) -> list[Check]:
    """The layers that lost most; `found` has the worst first."""
    return [
        Check(
            artifact="tflite",
            what=f"layer {layer.name}",
            measured=layer.signal,
            bound=None,
            data="calibration",
            at_least=True,
            notes=f"{layer.op}: dB of signal to noise, {layer.lost:.1f} less than before it",
        )
        for layer in found[:SHOWN]
    ]
