"""A dataclass from a tree of the same names; what training alone reads is left."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from visionport.errors import ConfigError, nearest

T = TypeVar("T")


def taken(cls: type[T], tree: Mapping[str, Any], ignored: tuple[str, ...] = (), **more: Any) -> T:
    """An instance of the dataclass `cls`: its fields by name from the tree, lists as tuples; `more` beside them.

    ignored: what the tree has for training alone. Anything else that the dataclass has no field for is a mistake of
    ours, found by the tests.
    """
    names = {field.name for field in fields(cls)}  # pyright: ignore[reportArgumentType]
    unknown = {*tree} - names - {*ignored}
    if unknown:
        raise TypeError(f"{cls.__name__} has no field for {', '.join(sorted(unknown))}.")
    return cls(**{name: frozen(value) for name, value in tree.items() if name in names and name not in more}, **more)


def with_norm(cls: type, norm: Mapping[str, Any]) -> dict[str, Any]:
    """Of a model's `norm_activation` what the dataclass has fields for."""
    names = {field.name for field in fields(cls)}
    return {name: norm[name] for name in ("activation", "norm_epsilon") if name in names}


def frozen(value: Any) -> Any:
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def chosen(tree: Mapping[str, Any], path: str) -> tuple[str, Mapping[str, Any]]:
    """The branch of a one-of: its name and its tree."""
    if tree["type"] is None:
        options = ", ".join(name for name in tree if name != "type")
        raise ConfigError(f"{path}.type is not given. It is one of: {options}.")
    return tree["type"], tree[tree["type"]]


def check_choice(path: str, value: Any, choices) -> None:
    if value not in choices:
        near = nearest(str(value), choices)
        raise ConfigError(f"{path} is {value!r}{near}. It is one of: {', '.join(choices)}.")


def check_length(path: str, value: Sequence[Any] | None, length: int) -> None:
    if value is not None and len(value) != length:
        raise ConfigError(f"{path} is {list(value)}; it has {length} numbers.")


def check_range(path: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{path} is {value}; it is from {least} to {most}.")


def check_classes(path: str, count: int, least: int = 1) -> None:
    """path: of every field to set, for the sentence that names them."""
    if count < least:
        raise ConfigError(
            f"This experiment does not say how many classes there are. Give them: --params-override "
            f"{','.join(f'{p}=N' for p in path.split(','))}."
        )
