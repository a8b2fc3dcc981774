"""YAML as TF Official Vision reads and writes it, and what its `--params_override` takes.

The reader builds plain values and Python tuples and nothing else: no tag of a file can run code. It works off the
parser's events without recursion, and its limits hold for what aliases repeat too.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from visionport.config.pipeline.text import read_text
from visionport.errors import ConfigError, shortened

MOST_TEXT = 1 << 20  # characters; a whole params.yaml has about 8,000
MOST_VALUES = 100_000  # aliases unfolded
MOST_DEPTH = 40
MOST_DIGITS = 400
MOST_PATH = 1000

TUPLE = "tag:yaml.org,2002:python/tuple"
PLAIN = {"tag:yaml.org,2002:" + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map")}

# 1e-5 and 1.5e5 are numbers to everybody but YAML 1.1.
EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+")

ASSIGNMENT = re.compile(
    r"""(?P<name>[a-zA-Z]\w*(\.\w+)*)(\[(?P<index>[0-9]{1,4})\])?
    \s*=\s*
    (?P<value>('[^']*'|"[^"]*"|\[[^\]]*\])\s*|([^,\[\s][^,\[]*)?)
    (,\s*|$)""",
    re.VERBOSE,
)

ASSIGNED = re.compile(r"[a-zA-Z][\w.]*(\[[0-9]+\])?\s*=")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file."""
    return mapping(parse(read_text(path, "config", ConfigError), str(path)), str(path))


def parse_override(text: str, where: str = "--params-override") -> dict[str, Any]:
    """The mapping in a text: YAML, JSON, `a.b=c,d.e=f`, or the path of a file that holds one."""
    check_size(text, where)
    if ASSIGNED.match(text.strip()):
        return assignments(text.strip(), where)
    found = parse(text, where)
    if isinstance(found, str) and "\n" not in found and len(found) <= MOST_PATH:
        return read_yaml(Path(found))
    return mapping(found, where)


def mapping(found: Any, where: str) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(
            f"{where}: {show(found)} is no mapping. It takes YAML such as {{task: {{model: {{num_classes: 10}}}}}}, or "
            "task.model.num_classes=10."
        )
    return found


def assignments(text: str, where: str) -> dict[str, Any]:
    """`a.b=c, d[0]=1, d[1]=2` as nested mappings; values are YAML where that can be read, else text."""
    out: dict[str, Any] = {}
    indexed: dict[str, dict[int, Any]] = {}
    position = 0
    while position < len(text):
        found = ASSIGNMENT.match(text, position)
        if not found:
            raise ConfigError(f"{where}: {show(text[position:])} is not of the kind `name=value, name=value`.")
        position = found.end()
        value = value_of(found["value"].strip(), where)
        name = found["name"]
        if found["index"]:
            indexed.setdefault(name, {})[int(found["index"])] = value
            continue
        assign(out, name, value, where)
    for name, values in indexed.items():
        if sorted(values) != list(range(len(values))):
            name = shortened(name)
            raise ConfigError(f"{where}: {name} is given in parts, and {name}[{missing(values)}] is not among them.")
        assign(out, name, [values[i] for i in range(len(values))], where)
    return out


def missing(values: dict[int, Any]) -> int:
    return next(i for i in range(len(values)) if i not in values)


def assign(out: dict[str, Any], name: str, value: Any, where: str) -> None:
    *above, last = name.split(".")
    if len(above) >= MOST_DEPTH:
        raise ConfigError(f"{where}: {show(name)} is more than {MOST_DEPTH} levels deep, too many for a config.")
    for part in above:
        out = out.setdefault(part, {})
        if not isinstance(out, dict):
            raise ConfigError(f"{where}: {shortened(name)} is given a value, and {shortened(part)} as a whole another.")
    if last in out:
        raise ConfigError(f"{where}: {shortened(name)} is given twice.")
    out[last] = value


def value_of(text: str, where: str) -> Any:
    try:
        return parse(text, where)
    except ConfigError:
        if text[:1] in ("[", "{", "'", '"', "!", "&", "*"):
            raise
        return text  # a path such as gs://bucket/file


def parse(text: str, where: str) -> Any:
    """The value of a YAML document (JSON is YAML). Raises ConfigError with the place."""
    check_size(text, where)
    try:
        return compose(yaml.parse(text, Loader=loader()), where)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(
            f"{where}{place}: not YAML: {getattr(e, 'problem', None) or str(e).splitlines()[0]}."
        ) from None


def check_size(text: str, where: str) -> None:
    if len(text) > MOST_TEXT:
        raise ConfigError(f"{where}: {len(text):,} characters, too many for a config. Is it the right file?")


@cache
def loader():
    """libyaml's parser where there is one: ten times faster."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Open:
    """A list or mapping that is being read: its items, how many values they are, and how many levels."""

    def __init__(self, event):
        self.event = event
        self.items: list[Any] = []
        self.keys: dict[str, None] = {}
        self.size, self.depth = 1, 1

    @property
    def wants_key(self) -> bool:
        return isinstance(self.event, yaml.MappingStartEvent) and len(self.keys) == len(self.items)


def compose(events, where: str) -> Any:
    """The value that the parser's events spell. An alias gives the very value of its anchor, which nothing changes."""
    anchors: dict[str, tuple[Any, int, int]] = {}  # value, how many values it is, how many levels
    document = Open(None)
    opened = [document]

    def place(event) -> str:
        return f"{where}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"

    def add(value, size: int, depth: int, event) -> None:
        above = opened[-1]
        above.size, above.depth = above.size + size, max(above.depth, depth + 1)
        if len(opened) + depth - 1 > MOST_DEPTH:
            raise ConfigError(f"{place(event)}: more than {MOST_DEPTH} levels deep, too many for a config.")
        if above.size > MOST_VALUES:
            raise ConfigError(f"{place(event)}: more than {MOST_VALUES:,} values, too many for a config.")
        if above.wants_key:
            if not isinstance(value, str):
                raise ConfigError(f"{place(event)}: {show(value)} is used as a name; names are text. Put it in quotes.")
            if value in above.keys:
                raise ConfigError(f"{place(event)}: {show(value)} is given twice.")
            above.keys[value] = None
        else:
            above.items.append(value)
        if getattr(event, "anchor", None) and not isinstance(event, yaml.AliasEvent):
            anchors[event.anchor] = (value, size, depth)

    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ConfigError(f"{place(event)}: a second document; a config is one.")
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise ConfigError(f"{place(event)}: *{shortened(event.anchor)} stands for nothing that ends before it.")
            add(*anchors[event.anchor], event)
        elif isinstance(event, yaml.ScalarEvent):
            add(scalar(event, place), 1, 0, event)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(opened) > MOST_DEPTH:
                raise ConfigError(f"{place(event)}: more than {MOST_DEPTH} levels deep, too many for a config.")
            if event.tag not in (None, "!", TUPLE, *PLAIN):
                raise refused(event, place)
            opened.append(Open(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = opened.pop()
            if isinstance(event, yaml.MappingEndEvent):
                value: Any = dict(zip(done.keys, done.items, strict=True))
                if done.event.tag == TUPLE:
                    raise refused(done.event, place)
            else:
                value = tuple(done.items) if done.event.tag == TUPLE else done.items
            add(value, done.size, done.depth, done.event)
    return document.items[0] if document.items else None


def scalar(event, place) -> Any:
    if event.tag == "!":
        return event.value
    tag = event.tag or scalars().resolve(yaml.ScalarNode, event.value, event.implicit)
    if event.tag is None and event.implicit[0] and EXPONENT.fullmatch(event.value):
        tag = "tag:yaml.org,2002:float"
    if event.tag is None and tag not in PLAIN:  # dates, `<<`, `=`
        return event.value
    if tag not in PLAIN:
        raise refused(event, place)
    if len(event.value) > MOST_DIGITS and not tag.endswith(":str"):
        raise ConfigError(f"{place(event)}: {show(event.value)} is too long for a number.")
    try:
        return scalars().construct_object(yaml.ScalarNode(tag, event.value, event.start_mark))
    except (ValueError, OverflowError, LookupError):
        raise ConfigError(f"{place(event)}: {show(event.value)} is no {tag.rpartition(':')[2]}.") from None


def refused(event, place) -> ConfigError:
    return ConfigError(
        f"{place(event)}: the tag {shortened(event.tag)} is not taken. A config holds plain values, and tuples by "
        "!!python/tuple."
    )


@cache
def scalars():
    class Scalars(yaml.constructor.SafeConstructor, yaml.resolver.Resolver):
        def __init__(self):
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    return Scalars()


def show(value: Any) -> str:
    """A value for an error, cut short."""
    return shortened(repr(value))


class Writer(yaml.SafeDumper):
    """As the reference's: names sorted, lists on a line, tuples a line an item under their tag, no anchors."""

    def ignore_aliases(self, data):
        return True


Writer.add_representer(list, lambda w, x: w.represent_sequence("tag:yaml.org,2002:seq", x, flow_style=True))
Writer.add_representer(tuple, lambda w, x: w.represent_sequence(TUPLE, x))


def write_yaml(tree: dict[str, Any]) -> str:
    return yaml.dump(tree, Dumper=Writer, default_flow_style=False)
