"""TF Official Vision's configs: an experiment's defaults, files over them, overrides over these, become a Config.

    config = read("resnet_imagenet", [Path("params.yaml")], ["task.model.num_classes=10"])

Stricter than the reference, which adds unknown keys in silence: a key that the experiment does not know is an error,
whether training or inference reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport.config.labels import read_label_map
from visionport.config.lineage import OFFICIAL
from visionport.config.model import Config
from visionport.config.official.guess import candidates, distance, guess
from visionport.config.official.schema import Experiment, experiment
from visionport.config.official.tasks import DEFAULT_SIZE, TASKS, check_size
from visionport.config.official.text import parse_override, read_yaml
from visionport.config.official.write import as_built, params_text
from visionport.errors import ConfigError, OptionError, UnsupportedError

CONFIG_FILE = "params.yaml"  # of a run, and of an export


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a Config was read from: the experiment, and the whole tree, every branch of a one-of in it."""

    experiment: Experiment
    tree: Mapping[str, Any]


def read(
    name: str | None = None,
    config_files: Sequence[str | Path] = (),
    params_override: str | Sequence[str] = (),
    *,
    image_size: tuple[int, int] | None = None,
    batch: int | None = None,
    labels: str | Path | None = None,
    score_threshold: float | None = None,
) -> Config:
    """The config of an experiment.

    name: the experiment; None: guessed from the files, where they tell.
    config_files: YAML or JSON, in order; a folder stands for its params.yaml.
    params_override: YAML or JSON text, `a.b=c,d.e=f`, or a file's path; several in order.
    image_size: (height, width) of the network's input, before padding; None: as the config says.
    batch: of the signatures; None: any, for which some versions of NMS are replaced, as the reference does.
    labels: a label map or a list of names. score_threshold: of NMS, over everything.
    Raises ConfigError (unreadable, unknown keys, contradictory) and UnsupportedError (cannot be built).
    """
    paths = [config_file(Path(path)) for path in config_files]
    texts = [params_override] if isinstance(params_override, str) else params_override
    changes = [(str(path), read_yaml(path)) for path in paths]
    changes += [("--params-override", parse_override(text)) for text in texts if text.strip()]
    found = experiment(name) if name else guess(changes)
    if score_threshold is not None:
        changes.append(("--score-threshold", thresholds(resolve(found, changes), found, score_threshold)))
    tree, warnings = as_built(resolve(found, changes), batch)
    if not name:
        warnings = (f"no experiment was given: taken {found.name}, by the task and the model in {paths[0]}", *warnings)
    where = paths[0] if paths else Path(found.name)
    try:
        found.check(tree)
        return config_of(where, found, tree, image_size, labels, warnings)
    except (ConfigError, UnsupportedError) as e:
        raise type(e)(f"{where}: {e}") from e


def thresholds(tree: Mapping[str, Any], found: Experiment, threshold: float) -> dict[str, Any]:
    """What sets the score threshold of an experiment's NMS. Raises OptionError where it has none."""
    generator = tree["task"]["model"].get("detection_generator") or {}
    if "pre_nms_score_threshold" not in generator or not generator["apply_nms"]:
        raise OptionError(f"--score-threshold: {found.name} has no NMS. Leave it out.")
    changed: dict[str, Any] = {"pre_nms_score_threshold": threshold}
    if "tflite_post_processing" in generator:
        changed["tflite_post_processing"] = {"nms_score_threshold": threshold}
    return {"task": {"model": {"detection_generator": changed}}}


def config_file(path: Path) -> Path:
    return path / CONFIG_FILE if path.is_dir() and (path / CONFIG_FILE).is_file() else path


def resolve(found: Experiment, changes: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The experiment's tree after every change, (where it is from, mapping), in order."""
    try:
        return found.changed(changes)
    except ConfigError as e:
        others = [one for one in candidates(changes)[0] if one[0].task != found.task]
        if not others:
            raise
        other, _ = min(others, key=lambda one: distance(*one))
        raise ConfigError(f"{e} Is the experiment another one, such as {other.name}?") from None


def config_of(path: Path, found: Experiment, tree, image_size, labels, warnings: tuple[str, ...]) -> Config:
    task = TASKS[found.task]
    size, note = (image_size, "") if image_size else size_of(tree)
    model = task.read(tree["task"], size)
    check_size(model)
    background = int(task.background)
    return Config(
        path=path,
        model=model,
        family=task.family,
        task=task.task,
        architecture=found.name,
        lineage=OFFICIAL,
        num_classes=model.num_classes - background,
        label_offset=background,
        input_types=task.inputs,
        input_kinds=task.kinds,
        synchronised_norms=bool(tree["task"]["model"].get("norm_activation", {}).get("use_sync_bn")),
        text=params_text(found, tree),
        labels=names_of(labels, model.num_classes, background) if labels else None,
        warnings=(*warnings, *([note] if note else [])),
        source=Source(experiment=found, tree=tree),
    )


def size_of(tree: Mapping[str, Any]) -> tuple[tuple[int, int], str]:
    """The input's (height, width) by the config, and what to say of it where it does not say it plainly."""
    model, data = tree["task"]["model"], tree["task"]["validation_data"]
    for place, size in (("task.model.input_size", model), ("task.validation_data.output_size", data)):
        found = (size.get(place.rpartition(".")[2]) or ())[:2]
        if len(found) == 2 and all(found):
            return (int(found[0]), int(found[1])), ""
    if "feature_shape" in data:  # clips are cut to the config's shape
        return DEFAULT_SIZE, ""
    height, width = DEFAULT_SIZE
    return DEFAULT_SIZE, (
        f"the config names no input size: taken {height}x{width}, as the reference does; --image-size chooses another"
    )


def names_of(labels: str | Path, num_classes: int, background: int) -> dict[int, str]:
    """Class number, as the answers have it, to name.

    A list with one name less than there are classes leaves the first, 0, to the background.
    """
    if background:
        return read_label_map(labels, num_classes - 1)
    found = read_label_map(labels)
    if max(found) == num_classes - 1:
        return {0: "background", **found}
    return {number - 1: name for number, name in found.items() if number <= num_classes}
