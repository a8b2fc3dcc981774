"""Trained TensorFlow vision checkpoints to everything people deploy, verified.

>>> from visionport import Options, export
>>> export(Options(config="pipeline.config", checkpoint="ckpt-5", out="exported"))
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visionport.checkpoint.open import open_checkpoint
    from visionport.checkpoint.read import Checkpoint
    from visionport.config import Config, read_config
    from visionport.conversion.convert import Conversion, convert
    from visionport.errors import VisionportError
    from visionport.exporter import Export, export
    from visionport.options import Options

__version__ = "0.1.0"
__all__ = [
    "Checkpoint",
    "Config",
    "Conversion",
    "Export",
    "Options",
    "VisionportError",
    "__version__",
    "convert",
    "export",
    "open_checkpoint",
    "read_config",
]


def __getattr__(name: str):
    # Imported when asked for: the command line's --help needs none of them.
    import importlib

    homes = {
        "Checkpoint": "checkpoint.read",
        "open_checkpoint": "checkpoint.open",
        "Config": "config",
        "read_config": "config",
        "Conversion": "conversion.convert",
        "convert": "conversion.convert",
        "Export": "exporter",
        "export": "exporter",
        "Options": "options",
        "VisionportError": "errors",
    }
    if name not in homes:
        raise AttributeError(f"module 'visionport' has no attribute {name!r}")
    return getattr(importlib.import_module(f"visionport.{homes[name]}"), name)
