"""Which experiment a config file is of, where it tells: a run's own params.yaml gives all, so its task is enough."""

from collections.abc import Sequence
from typing import Any

from visionport.config.official.schema import Experiment, experiment, experiments, leaves
from visionport.config.official.tasks import DEFAULT_SIZE, TASKS
from visionport.errors import ConfigError, UnsupportedError

Changes = Sequence[tuple[str, dict[str, Any]]]


def guess(changes: Changes) -> Experiment:
    """The experiment, where all that take these changes make the same model of them; of several the nearest.

    Raises ConfigError, with the candidates, where they do not.
    """
    if not changes:
        raise ConfigError(f"No experiment is given: --experiment NAME. There are: {', '.join(experiments())}.")
    where = changes[0][0]
    taken, refusals = candidates(changes)
    if not taken:
        raise refusals[0]
    models = [model_of(found, tree) for found, tree in taken]
    if any(model != models[0] for model in models):
        names = ", ".join(found.name for found, _ in sorted(taken, key=lambda one: distance(*one)))
        raise ConfigError(
            f"{where} does not say which experiment it is of. Give it: --experiment NAME. It could be of: {names}."
        )
    return min(taken, key=lambda one: distance(*one))[0]


def candidates(changes: Changes) -> tuple[list[tuple[Experiment, dict[str, Any]]], list[ConfigError]]:
    """Experiments that take the changes, each with its tree after them; and why the others do not, nearest first."""
    taken, refusals = [], []
    for name in experiments():
        found = experiment(name)
        try:
            tree = found.changed(changes)
            found.check(tree)
            taken.append((found, tree))
        except ConfigError as e:
            known = {path for path, _ in leaves(found.tree)}
            given = {path for _, change in changes for path, _ in leaves(change)}
            refusals.append((len(given - known), e))
    return taken, [e for _, e in sorted(refusals, key=lambda one: one[0])]


def model_of(found: Experiment, tree: dict[str, Any]) -> Any:
    """What the model would be, or the reason why there is none."""
    try:
        return found.task, TASKS[found.task].read(tree["task"], DEFAULT_SIZE)
    except (ConfigError, UnsupportedError) as e:
        return found.task, str(e)


def distance(found: Experiment, tree: dict[str, Any]) -> int:
    """In how many values of the model the tree differs from the experiment's own."""
    own = dict(leaves(found.tree["task"]["model"]))
    return sum(own.get(path, own) != value for path, value in leaves(tree["task"]["model"]))
