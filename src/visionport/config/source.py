"""Which file goes to which reader."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport.config.model import Config
from visionport.config.ranges import check_image_size
from visionport.errors import ConfigError, OptionError
from visionport.filetypes import POINTER, WEB_PAGE, kind_of_file

YAML = (".yaml", ".yml", ".json")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a config is to be read from; see `read_config`."""

    path: Path | None
    override: str = ""
    labels: Path | None = None
    keypoint_label_map: Path | None = None
    experiment: str | None = None
    config_files: tuple[Path, ...] = ()
    params_override: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    batch: int | None = None
    score_threshold: float | None = None


def read_config(
    path: str | os.PathLike | None = None,
    override: str = "",
    labels: str | os.PathLike | None = None,
    keypoint_label_map: str | os.PathLike | None = None,
    *,
    experiment: str | None = None,
    config_files: Sequence[str | os.PathLike] = (),
    params_override: str | Sequence[str] = (),
    image_size: tuple[int, int] | None = None,
    batch: int | None = None,
    score_threshold: float | None = None,
) -> Config:
    """The config in a file or folder: a pipeline.config, or a params.yaml of Official Vision; or of an experiment.

    override: text merged into a pipeline.config. labels: a label map. keypoint_label_map: the label map with the
    keypoints of a CenterNet, in place of the one that the config names. experiment, config_files, params_override: of
    Official Vision, in this order over each other. image_size: (height, width) of the pictures to come; for Official
    Vision, of the network's input. batch: of the signatures; None for any. score_threshold: of NMS, in place of the
    config's, in the config's text too.

    Raises ConfigError (unreadable, misspelt, contradictory) and UnsupportedError (cannot be built).
    """
    texts = (params_override,) if isinstance(params_override, str) else tuple(params_override)
    request = Request(
        path=None if path is None else Path(path),
        override=override,
        labels=None if labels is None else Path(labels),
        keypoint_label_map=None if keypoint_label_map is None else Path(keypoint_label_map),
        experiment=experiment,
        config_files=tuple(map(Path, config_files)),
        params_override=tuple(t for t in texts if t),
        image_size=image_size,
        batch=batch,
        score_threshold=score_threshold,
    )
    check_path(request.path)
    check_image_size(image_size)
    for claims, read in READERS:
        if claims(request):
            return read(request)
    raise AssertionError("the last reader takes any request")


def check_path(path: Path | None) -> None:
    """Raises ConfigError for a file that is plainly another kind of thing."""
    kind = kind_of_file(path) if path else ""
    if kind and kind not in (POINTER, WEB_PAGE):  # which the readers tell
        raise ConfigError(f"{path} is {kind}; --config takes a pipeline.config or a params.yaml, which are text.")
    if path and (path.suffix == ".index" or ".data-" in path.name) and path.is_file():
        raise ConfigError(f"{path} is a part of a checkpoint: give it as --checkpoint, and its pipeline.config here.")


def is_official(request: Request) -> bool:
    """Whether Official Vision is meant: by an option that is its own, or by the file's name."""
    if request.experiment or request.config_files or request.params_override:
        return True
    path = request.path
    if path is None:
        return False
    if path.is_dir():
        return (path / "params.yaml").is_file() and not (path / "pipeline.config").is_file()
    return path.suffix in YAML


def read_official(request: Request) -> Config:
    from visionport.config.official.read import read

    wrong: dict[str, Any] = {"--config-override": request.override, "--keypoint-label-map": request.keypoint_label_map}
    if given := [name for name, value in wrong.items() if value]:
        raise OptionError(f"{given[0]} is for a pipeline.config; Official Vision takes --params-override.")
    files = [request.path, *request.config_files] if request.path else request.config_files
    return read(
        request.experiment,
        [file for file in files if file],
        request.params_override,
        image_size=request.image_size,
        batch=request.batch,
        labels=request.labels,
        score_threshold=request.score_threshold,
    )


def read_pipeline(request: Request) -> Config:
    from visionport.config.pipeline.read import read

    if request.path is None:
        raise OptionError(
            "no config is given: name a pipeline.config with --config, or an experiment with --experiment."
        )
    return read(
        request.path,
        override=request.override,
        labels=request.labels,
        keypoint_label_map=request.keypoint_label_map,
        picture_size=request.image_size,
        score_threshold=request.score_threshold,
    )


# (does it take the request?, reader), the first that does is asked.
READERS = [(is_official, read_official), (lambda request: True, read_pipeline)]
