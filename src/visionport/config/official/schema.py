"""The schema of Official Vision's configs, and what a config is made of: an experiment's defaults, merged over.

A tree is nested dicts by the schema's classes. It holds every branch of a one-of, chosen or not, since an override may
choose another; `exported` leaves the others out, as params.yaml does.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from visionport.config.official.ranges import check_field
from visionport.config.official.text import parse, show
from visionport.errors import ConfigError, nearest

ROOT = "ExperimentConfig"

# Tasks of the reference that can be exported, by the class of their config.
TASKS = (
    "ImageClassificationTask",
    "SemanticSegmentationTask",
    "VideoClassificationTask",
    "RetinaNetTask",
    "MaskRCNNTask",
)


@cache
def data(name: str) -> dict[str, Any]:
    text = resources.files("visionport.config.official").joinpath(name).read_text("utf-8")
    return parse(text, name)


@cache
def fields_of(name: str) -> Mapping[str, tuple[tuple[str, ...], Any]]:
    """Of a class: field -> its types (any of them), and its default: of a class what differs from its own."""
    own = dict(data("schema.yaml")["classes"][name])
    base = own.pop("extends", None)
    fields = dict(fields_of(base)) if base else {}
    for field, (kinds, *default) in own.items():
        fields[field] = (tuple(kinds.split(" | ")), default[0] if default else {})
    return fields


@cache
def one_ofs() -> frozenset[str]:
    return frozenset(data("schema.yaml")["one_of"])


def is_class(kind: str) -> bool:
    return kind in data("schema.yaml")["classes"]


def class_of(kinds: tuple[str, ...]) -> str | None:
    """The class among a field's types."""
    return next(filter(is_class, kinds), None)


def element_of(kinds: tuple[str, ...]) -> str | None:
    """The type of a list's elements, where a field takes lists."""
    return next((kind[1:-1] for kind in kinds if kind.startswith("[")), None)


def defaults(name: str) -> dict[str, Any]:
    """A tree of a class with its own defaults."""
    tree = {}
    for field, (kinds, default) in fields_of(name).items():
        kind = class_of(kinds)
        tree[field] = merged(defaults(kind), default, kind, "") if kind and default is not None else default
    return tree


class Experiment:
    """An experiment: its task's class, its defaults as a tree, and what must be equal in it."""

    def __init__(self, name: str):
        entry = dict(data("experiments.yaml")[name])
        equal = entry.pop("restrictions", [])
        like = entry.pop("like", None)
        if like:
            base = experiment(like)
            self.task, tree = base.task, base.tree
        else:
            self.task = entry.pop("class")
            tree = {**defaults(ROOT), "task": defaults(self.task)}
        self.name = name
        self.equal: list[tuple[str, str]] = [tuple(pair) for pair in equal]
        self.tree = self.merged(tree, entry, f"experiment {name}")

    def merged(self, tree: dict[str, Any], override: Mapping[str, Any], where: str) -> dict[str, Any]:
        """`override` over a tree. Raises ConfigError for a key that is not known or a value of another type."""
        return merged(tree, override, ROOT, where, {"task": self.task})

    def changed(self, changes: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
        """The experiment's tree after every change, (where it is from, mapping), in order."""
        tree = self.tree
        for where, change in changes:
            tree = self.merged(tree, change, where)
        return tree

    def check(self, tree: dict[str, Any]) -> None:
        """Raises ConfigError for what the reference wants to be equal and is not, of branches that are chosen."""
        values = dict(leaves(self.exported(tree)))
        for left, right in self.equal:
            a, b = values.get(left), values.get(right)
            if a != b and {left, right} <= {*values}:
                raise ConfigError(
                    f"{left} is {show(a)} and {right} is {show(b)}; experiment {self.name} wants them equal. Set both."
                )

    def exported(self, tree: dict[str, Any]) -> dict[str, Any]:
        """A tree as params.yaml has it."""
        return {
            "runtime": exported(tree["runtime"], "RuntimeConfig"),
            "task": exported(tree["task"], self.task),
            "trainer": exported(tree["trainer"], "TrainerConfig"),
        }


@cache
def experiment(name: str) -> Experiment:
    """Raises ConfigError where there is none of that name."""
    if name not in experiments():
        near = nearest(name, experiments())
        raise ConfigError(f"There is no experiment {name!r}{near}. There are: {', '.join(experiments())}.")
    return Experiment(name)


def experiments() -> tuple[str, ...]:
    return tuple(data("experiments.yaml"))


def merged(
    tree: Mapping[str, Any], override: Mapping[str, Any], name: str, where: str, classes: Mapping[str, str] = {}, at=""
) -> dict[str, Any]:
    """`override` over a tree of the class `name`; classes: of fields, in place of the schema's; at: the tree's path."""
    out = dict(tree)
    fields = fields_of(name)
    for key, value in override.items():
        path = f"{at}.{key}" if at else key
        if key not in fields:
            raise ConfigError(f"{where}: {at or 'the config'} has no key {show(key)}{hint(key, fields, at, tree)}.")
        kinds = (classes[key],) if key in classes else fields[key][0]
        out[key] = changed(tree[key], value, kinds, where, path)
        check_field(name, key, out[key], f"{where}: {path}")
    if name in one_ofs() and out["type"] is not None and not (out["type"] in fields and out["type"] != "type"):
        options = [field for field in fields if field != "type"]
        raise ConfigError(
            f"{where}: {at}.type is {out['type']!r}{nearest(str(out['type']), options)}. It is one of: "
            f"{', '.join(options)}."
        )
    return out


def changed(old: Any, new: Any, kinds: tuple[str, ...], where: str, path: str) -> Any:
    """A field's value after an override: mappings are merged; lists of them too, if they are of the same length."""
    kind, element = class_of(kinds), element_of(kinds)
    if isinstance(new, Mapping):
        if kind:
            return merged(old if isinstance(old, Mapping) else defaults(kind), new, kind, where, at=path)
        if "{}" in kinds:
            return dict(new)
    elif isinstance(new, list | tuple) and element and is_class(element):
        if all(isinstance(item, Mapping) for item in new):
            same = isinstance(old, list | tuple) and len(old) == len(new)
            below = old if same else [defaults(element)] * len(new)
            pairs = enumerate(zip(below, new, strict=True))
            items = [merged(a, b, element, where, at=f"{path}[{i}]") for i, (a, b) in pairs]
            return (type(old) if same else type(new))(items)
    elif isinstance(new, list | tuple) and element:
        if all(takes(element, item) for item in new):
            return type(new)(whole(item, (element,)) for item in new)
    elif any(takes(kind, new) for kind in kinds):
        return whole(new, kinds)
    raise ConfigError(f"{where}: {path} is {show(new)}; it takes {' or '.join(describe(k) for k in kinds)}.")


def takes(kind: str, value: Any) -> bool:
    if " or " in kind:
        return any(takes(k, value) for k in kind.split(" or "))
    if kind == "null":
        return value is None
    if isinstance(value, bool):
        return kind == "bool"
    if kind == "int":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if kind == "float":
        return isinstance(value, int | float)
    return kind == "str" and isinstance(value, str)


def whole(value: Any, kinds: tuple[str, ...]) -> Any:
    """1e5 as 100000 where a whole number is wanted."""
    wanted = any(kind.startswith("int") for kind in kinds) and "float" not in kinds
    return int(value) if wanted and isinstance(value, float) else value


def describe(kind: str) -> str:
    if kind.startswith("["):
        return f"a list of {describe(kind[1:-1])}" if not is_class(kind[1:-1]) else "a list of mappings"
    return KINDS.get(kind, "a mapping")


KINDS = {
    "null": "null",
    "bool": "true or false",
    "int": "a whole number",
    "int or null": "a whole number or null",
    "float": "a number",
    "str": "text",
}


def hint(key: str, fields: Mapping[str, Any], at: str, tree: Mapping[str, Any]) -> str:
    """; the nearest name, the places where the key is known, or what there is."""
    near = nearest(key, fields)
    if near:
        return near
    places = [path for path, _ in leaves(tree, at) if path.endswith(f".{key}")]
    if places:
        return f"; there is {' and '.join(places[:3])}"
    return f"; it has: {', '.join(sorted(fields))}" if len(fields) <= 12 else ""


def exported(value: Any, name: str) -> dict[str, Any]:
    """A tree of the class `name` as params.yaml has it: of a one-of the chosen branch alone."""
    fields = fields_of(name)
    if name in one_ofs():
        fields = {field: fields[field] for field in ("type", value["type"]) if field}
    out = {}
    for field, (kinds, _) in fields.items():
        kind, element = class_of(kinds), element_of(kinds)
        found = value[field]
        if isinstance(found, dict) and kind:
            found = exported(found, kind)
        elif isinstance(found, list | tuple) and element and is_class(element):
            found = type(found)(exported(item, element) for item in found)
        out[field] = found
    return out


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of all that is no mapping, and of empty mappings."""
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path, tree
