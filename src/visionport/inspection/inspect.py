"""`visionport.inspect`: what is this file?"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionport import filetypes
from visionport.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a file holds. facts: ready for JSON; their keys depend on the kind."""

    facts: Mapping[str, Any]
    render: Callable[[Mapping[str, Any]], Any] = field(repr=False)  # the facts as a rich renderable

    def __getitem__(self, key: str) -> Any:
        return self.facts[key]

    def __str__(self) -> str:
        import io

        from visionport.terminal import console_of

        out = io.StringIO()
        console_of(out, 100).print(self.render(self.facts), crop=False)
        return out.getvalue().rstrip()


def inspect(
    path: str | os.PathLike,
    *,
    config: str | os.PathLike | None = None,
    config_override: str = "",
    experiment: str | None = None,
    config_files: Sequence[str | os.PathLike] = (),
    params_override: str | Sequence[str] = (),
    image_size: tuple[int, int] | None = None,
) -> Inspection:
    """What a checkpoint, a TFLite or ONNX file, an OpenVINO or TensorFlow.js model, a SavedModel or a graph holds.

    config, or experiment, config_files and params_override of Official Vision: does the checkpoint fit this config?
    Then `fits` says so, and `problems` what does not. image_size: (height, width) of Official Vision's network.

    Raises InputError, CheckpointError or ConfigError for what cannot be read, OptionError for a config that is given
    for anything but a checkpoint.
    """
    path = Path(path)
    kind = kind_of(path)
    asked = {"path": config, "override": config_override, "experiment": experiment}
    asked |= {"config_files": config_files, "params_override": params_override, "image_size": image_size}
    if kind and any(asked.values()):
        raise OptionError(
            f"--config is for checkpoints, and {path} is {'an' if kind.startswith('O') else 'a'} {kind}. Leave it out."
        )
    if kind == "TFLite file":
        from visionport.inspection import tflite
        from visionport.tflite import description

        return Inspection(facts=description.describe_tflite(path), render=tflite.render)
    if kind == "ONNX file":
        from visionport.inspection import onnx

        return Inspection(facts=onnx.describe(path), render=onnx.render)
    if kind == "OpenVINO model":
        from visionport.inspection import openvino

        return Inspection(facts=openvino.describe(path), render=openvino.render)
    if kind == "TensorFlow.js model":
        from visionport.inspection import tfjs

        return Inspection(facts=tfjs.describe(path), render=tfjs.render)
    if kind:
        from visionport.inspection import graph

        return Inspection(facts=graph.describe(path), render=graph.render)
    if any(asked.values()):
        from visionport.inspection import fit

        return Inspection(facts=fit.fit_config(path, **asked), render=fit.render)
    from visionport.checkpoint.open import open_checkpoint
    from visionport.inspection import checkpoint

    return Inspection(facts=checkpoint.describe_checkpoint(open_checkpoint(path)), render=checkpoint.render)


def kind_of(path: Path) -> str:
    """What an artifact is; "" for a checkpoint."""
    from visionport.graph.sources import SAVED_MODEL
    from visionport.onnx.contents import is_onnx
    from visionport.tfjs.contents import is_tfjs

    if is_tfjs(path):
        return "TensorFlow.js model"
    if path.suffix == ".tflite" and path.is_file():
        return "TFLite file"
    if path.suffix == ".xml" or filetypes.kind_of_file(path) == filetypes.OPENVINO:
        return "OpenVINO model"
    if path.name in SAVED_MODEL or any((path / name).is_file() for name in SAVED_MODEL):
        return "SavedModel"
    if path.is_file():
        with path.open("rb") as file:
            if file.read(8)[4:] == b"TFL3":
                return "TFLite file"
    if path.is_file() and (path.suffix == ".onnx" or (path.suffix not in GRAPHS and is_onnx(path))):
        return "ONNX file"
    return "graph" if path.suffix in GRAPHS and path.is_file() else ""


GRAPHS = (".pb", ".pbtxt", ".meta")
