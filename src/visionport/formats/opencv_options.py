"""What may be asked of OpenCV's text graph."""

from dataclasses import dataclass

from visionport.errors import OptionError
from visionport.formats.options import option


@dataclass(frozen=True, kw_only=True)
class OpencvOptions:
    """It stands beside the frozen graph, so that it is an option of that, and no --format of its own."""

    opencv: bool = option(False, "Write beside the frozen graph the text graph that OpenCV's dnn module wants.")

    def check_opencv(self, formats: tuple[str, ...]) -> None:
        """Raises OptionError without a frozen graph."""
        if self.opencv and "frozen_graph" not in formats:
            raise OptionError("--opencv goes with the frozen graph: add --format frozen_graph.")
