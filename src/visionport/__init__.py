"""Trained TensorFlow vision checkpoints to everything people deploy, verified.

>>> import visionport
>>> done = visionport.export(visionport.Options(config="pipeline.config", checkpoint="ckpt-5", out="exported"))
>>> print(done)
>>> detector = visionport.load("exported")
>>> answer = detector("street.jpg")  # a dict of arrays
>>> detector.draw("street.jpg").save("drawn.png")
"""

import importlib
from types import FunctionType
from typing import TYPE_CHECKING

from visionport.muting import quietly

if TYPE_CHECKING:
    from visionport.benchmarking.benchmark import Benchmark, benchmark
    from visionport.checkpoint.open import open_checkpoint
    from visionport.checkpoint.read import Checkpoint
    from visionport.config import Config, read_config
    from visionport.conversion.convert import Conversion, convert
    from visionport.errors import VisionportError
    from visionport.exporter import Export, export
    from visionport.graph.public import Freezing, freeze
    from visionport.inspection.inspect import Inspection, inspect
    from visionport.options import Options
    from visionport.prediction import Predictor, load, predict
    from visionport.reverify import Verification, verify

__version__ = "0.1.0"

# Imported when asked for: the command line's --help needs none of them.
_HOMES = {
    "Benchmark": "benchmarking.benchmark",
    "Checkpoint": "checkpoint.read",
    "Config": "config",
    "Conversion": "conversion.convert",
    "Export": "exporter",
    "Freezing": "graph.public",
    "Inspection": "inspection.inspect",
    "Options": "options",
    "Predictor": "prediction",
    "Verification": "reverify",
    "VisionportError": "errors",
    "benchmark": "benchmarking.benchmark",
    "convert": "conversion.convert",
    "export": "exporter",
    "freeze": "graph.public",
    "inspect": "inspection.inspect",
    "load": "prediction",
    "open_checkpoint": "checkpoint.open",
    "predict": "prediction",
    "read_config": "config",
    "verify": "reverify",
}
__all__ = [
    "Benchmark",
    "Checkpoint",
    "Config",
    "Conversion",
    "Export",
    "Freezing",
    "Inspection",
    "Options",
    "Predictor",
    "Verification",
    "VisionportError",
    "__version__",
    "benchmark",
    "convert",
    "export",
    "freeze",
    "inspect",
    "load",
    "open_checkpoint",
    "predict",
    "read_config",
    "verify",
]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'visionport' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"visionport.{_HOMES[name]}"), name)
    return quietly(found) if isinstance(found, FunctionType) else found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
