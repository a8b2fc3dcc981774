"""A stranger's OpenVINO model is run once in a process of its own (../../trials.py), before it is run in ours.

Models that this process made are not tried.
"""

import sys
from pathlib import Path

from visionport import trials
from visionport.errors import ArtifactError
from visionport.formats.openvino import ir
from visionport.manifest import file_record

OPEN_SIZES, OPEN_BATCH = (224, 64, 320), 1  # of open sizes, until the model takes them
_trusted: set[tuple[str, str]] = set()  # digests of models that were made here, or tried


def trust(path: Path) -> None:
    """Says of a model that it was made here."""
    _trusted.add(digests(path))


def digests(path: Path) -> tuple[str, str]:
    files = path, ir.weights_of(path)
    first, second = (file_record(file)["sha256"] for file in files)
    return first, second


def try_model(path: Path) -> None:
    """Raises ArtifactError for a model that is damaged, that OpenVINO does not run, or that takes too long or much."""
    found = ir.read(path)
    known = digests(path)
    if known in _trusted:
        return
    if any(t.dtype == "string" for t in found.inputs):
        raise ArtifactError(f"{path}: it takes strings, for which OpenVINO needs another library. Export images.")
    size = path.stat().st_size + ir.weights_of(path).stat().st_size

    def run():
        return trials.run_apart(__name__, size, str(path.resolve()))

    if trials.judge(run, str(path), "OpenVINO", size):
        _trusted.add(known)


def main() -> int:
    """The other process: the model's path is on its command line."""
    import numpy as np

    trials.bound()
    path = sys.argv[3]
    from visionport.formats.openvino.runner import OpenvinoRunner

    random, said = np.random.default_rng(0), ""
    try:
        runner = OpenvinoRunner(path, Path(path).name, threads=1)
        ((name, signature),) = runner.signatures.items()
        for size in OPEN_SIZES:
            shapes = {
                t.name: [d if d is not None else size if i else OPEN_BATCH for i, d in enumerate(t.shape)]
                for t in signature.inputs
            }
            try:
                runner.call(
                    name, {t.name: (random.random(shapes[t.name]) * 255).astype(t.dtype) for t in signature.inputs}
                )
                return 0
            except ArtifactError as e:
                said = said or str(e)
            if all(None not in t.shape for t in signature.inputs):
                break
    except MemoryError:
        return trials.MEMORY
    except (ArtifactError, ValueError, TypeError, RuntimeError) as e:
        said = str(e)
    print(said.partition(": ")[2] or said, end="")
    return trials.REFUSED
