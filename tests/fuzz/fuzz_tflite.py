"""TFLite files as `visionport inspect` and `visionport edit` read them, LiteRT left out."""

from pathlib import Path

import tflite_files
from tflite_files import mutate as mutate

from visionport.inspection import tflite
from visionport.tflite.contents import read_file
from visionport.tflite.description import describe_tflite
from visionport.tflite.flatbuffer import parse, serialize
from visionport.tflite.packed import cut_packed

SUFFIX = ".tflite"
SEEDS = (tflite_files.network(), tflite_files.loop(), tflite_files.detector())


def read(path: Path) -> None:
    """Shown as text, and written again without what is packed."""
    from rich.console import Console

    described = describe_tflite(path)
    with open("/dev/null", "w") as nowhere:
        Console(file=nowhere, width=100).print(tflite.render(described))
    serialize(parse(cut_packed(read_file(path)), edit=True))
