"""Any number of pictures asked about, on Apache Beam: `visionport batch`, and transforms for pipelines of your own.

>>> import apache_beam as beam
>>> from visionport.batch import Predict
>>> with beam.Pipeline() as pipeline:
...     pipeline | beam.Create(["a.jpg", "b.jpg"]) | Predict("exported") | beam.Map(print)

Importing this package does not import Beam; its names do, when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visionport.batch.pipeline import Summary, run
    from visionport.batch.transforms import AnswerHandler, Detect, Predict

_HOMES = {"AnswerHandler": "transforms", "Detect": "transforms", "Predict": "transforms"}
_HOMES |= {"Summary": "pipeline", "run": "pipeline"}
__all__ = ["AnswerHandler", "Detect", "Predict", "Summary", "run"]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'visionport.batch' has no attribute {name!r}")
    check_installed()
    return getattr(importlib.import_module(f"visionport.batch.{_HOMES[name]}"), name)


def check_installed() -> None:
    """Raises OptionError where Beam is missing."""
    from importlib.util import find_spec

    from visionport.errors import OptionError

    missing = [
        name for name, module in (("apache-beam", "apache_beam"), ("pyarrow", "pyarrow")) if not find_spec(module)
    ]
    if missing:
        raise OptionError(f"visionport batch needs {' and '.join(missing)}: pip install 'visionport[beam]'.")
