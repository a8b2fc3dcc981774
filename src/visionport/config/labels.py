"""Class names: label maps as people have them, and the labels.txt that goes beside an export.

Ids count from 1, as in the Object Detection API: 0 is the background. Classes, as TFLite gives them, count from 0.
"""

import itertools
import os.path
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

from visionport.config.pipeline.text import (
    Outline,
    Pipeline,
    label_map_paths,
    lies_near,
    merge_text,
    message_class,
    read_text,
)
from visionport.errors import InputError, VisionportError, shortened

LONGEST_NAME = 1000  # characters
MOST_NAMED = 10  # files that a config names
NO_NAME = "???"  # how label lists fill the ids that a label map leaves out
LABEL_FILES = re.compile(r".*label.*\.(pbtxt|txt)", re.IGNORECASE)


def read_label_map(path: str | Path, num_classes: int | None = None) -> dict[int, str]:
    """The class names of a label map, {id: name}, ids from 1 in rising order, gaps left out.

    num_classes: ids above it are left out, as the Object Detection API does.
    """
    path = Path(path)
    text = read_text(path, "label map", InputError)
    code = _code(text)
    if _has_items(code):
        labels = _read_items(path, text)
    elif code[:1] in tuple("{[<"):
        raise InputError(
            f"{path}: neither a label map nor a list of names, by its first character. "
            "It needs `item { id: 1 name: 'x' }` for each class, or one name a line."
        )
    else:
        labels = _read_lines(path, text, num_classes)
    if long := next((name for name in labels.values() if len(name) > LONGEST_NAME), None):
        raise InputError(f"{path}: {shortened(long, 20)} has {len(long):,} characters, too many for a class's name.")
    if not labels:
        raise InputError(f"{path}: no class names in it. It needs `item {{ id: 1 name: 'x' }}`, or one name a line.")
    return {i: labels[i] for i in sorted(labels) if num_classes is None or i <= num_classes}


def left_out(path: str | Path, num_classes: int) -> tuple[str, ...]:
    """A warning where a label map has ids above the number of classes, which no detection ever has."""
    beyond = [f"{i} ({name})" for i, name in read_label_map(path).items() if i > num_classes]
    if not beyond:
        return ()
    shown = ", ".join(beyond[:3]) + ", ..." * (len(beyond) > 3)
    return (f"{path}: the model has {num_classes} classes, so these ids are never found: {shown}.",)


def write_labels(labels: Mapping[int, str], num_classes: int, first: int = 1) -> str:
    """The text of labels.txt: one name a line, "???" where there is no name. first: the number of the first line."""
    names = (" ".join(labels.get(i, NO_NAME).split()) for i in range(first, num_classes + first))
    return "".join(f"{name or NO_NAME}\n" for name in names)


def lines(path: str | Path, size: int) -> str:
    """The text of labels.txt for that many numbers, one for each class; "" where the label map has not as many.

    A label map that has one class less leaves the first line to the background, its id 0; so does a list that names it.
    """
    text = read_text(Path(path), "label map", InputError)
    own, everything = read_label_map(path, size), read_label_map(path)
    if max(own, default=0) == size == max(size, *everything):
        return write_labels(own, size)
    has_background = _has_items(_code(text)) or len([line for line in text.splitlines() if line.strip()]) == size
    if has_background and max(everything) == size - 1:
        return "background\n" + write_labels(everything, size - 1)
    return ""


def _code(text: str) -> str:
    """Without comments."""
    return re.sub(r"^[^\S\n]*#[^\n]*", "", text, flags=re.MULTILINE).strip()


def _has_items(code: str) -> bool:
    """Is it a label map, and no list of names?"""
    return bool(re.match(r"\w+\s*(:\s*)?[{<]", code))


def find_labels(pipeline: Pipeline, explicit: Path | None = None) -> Path | None:
    """The label map of a model: the one asked for, else the one its config names, else one beside it.

    One that is only called so must be alone there in having as many classes as the model.
    """
    if explicit is not None:
        read_label_map(explicit)
        return Path(explicit)
    folder = pipeline.path.parent
    for path in named_places(pipeline):
        if os.path.isfile(path) and not why_not(path, folder):  # unlike is_file, takes any text and any permission
            return path
    beside = (path for path in sorted(folder.iterdir()) if path.is_file() and LABEL_FILES.fullmatch(path.name))
    fitting = [path for path in beside if lies_near(path, folder) and _fits(path, _num_classes(pipeline))]
    return fitting[0] if len(fitting) == 1 else None


def why_not(path: Path, folder: Path) -> str:
    """Why a file that a config in `folder` names as its label map is not read; "" where it is."""
    if not lies_near(path, folder):
        return "lies neither below the config's folder nor below the working directory"
    return "" if _has_items(_code(read_text(path, "label map", InputError))) else "is no label map"


def not_read(pipeline: Pipeline) -> tuple[str, ...]:
    """A warning for each file that the config names as its label map, that is there, and that is not read."""
    there = {os.path.abspath(path): path for path in named_places(pipeline) if os.path.isfile(path)}
    reasons = {name: why_not(path, pipeline.path.parent) for name, path in there.items()}
    return tuple(
        f"label_map_path: {name} {why}, so it is not read. If it is the model's, give it with --labels."
        for name, why in reasons.items()
        if why
    )


def named_places(pipeline: Pipeline) -> list[Path]:
    """Where the label maps may lie that a config names, in order.

    A config names the path on the machine that trained it: as it is, from the working directory, as the Object
    Detection API takes it; from the config's folder; and of that name in that folder.
    """
    folder, places = pipeline.path.parent, list[Path]()
    for named in label_map_paths(pipeline)[:MOST_NAMED]:
        places += [Path(named), folder / named, folder / PureWindowsPath(named).name]
    return [*dict.fromkeys(places)]


def no_labels(pipeline: Pipeline) -> tuple[str, ...]:
    """The warning that there are no class names, and where they were looked for."""
    places = [*named_places(pipeline), pipeline.path.parent / "*label*.pbtxt"]
    where = ", ".join(os.path.abspath(path) for path in places)
    return (f"no label map found, so labels.txt is not written. Give one with --labels. Looked for: {where}",)


def _num_classes(pipeline: Pipeline) -> int:
    model = pipeline.message.model
    architecture = getattr(model, model.WhichOneof("model"))
    return getattr(architecture, "num_classes", 0)


def _fits(path: Path, num_classes: int) -> bool:
    """Whether a file found by its name alone has as many classes as the model: wrong names are worse than none."""
    try:
        labels = read_label_map(path)
    except VisionportError:
        return False
    return num_classes in (len(labels), max(labels))


def _read_items(path: Path, text: str) -> dict[int, str]:
    """`item { id: 1 name: 'x' }`; the name that people see, `display_name`, comes first, and the first of equal ids."""
    message = message_class("StringIntLabelMap")()
    merge_text(_split_items(text), message, str(path), error=InputError)
    labels: dict[int, str] = {}
    for item in message.item:
        name = item.display_name or item.name
        if item.id < 0 or (item.id == 0 and name.lower() != "background"):
            given = f"id {item.id}" if item.HasField("id") else "no id"
            raise InputError(f'{path}: item "{name}" has {given}. Ids count from 1; 0 is the background\'s.')
        if item.id and name:
            labels.setdefault(item.id, name)
    return labels


def _split_items(text: str) -> str:
    """Give each class its own item where one `item { id: 1 name: 'a' id: 2 name: 'b' }` holds several.

    Protobuf itself would keep the last of them only. Lines keep their numbers.
    """
    pieces, taken = [], 0
    for item in Outline(text).root.children:
        seen: set[str] = set()
        for field in item.children:
            if field.name in seen:
                pieces += [text[taken : field.start], "} item { "]
                taken, seen = field.start, set()
            if field.name in ("id", "name", "display_name"):
                seen.add(field.name)
    return "".join((*pieces, text[taken:]))


def _read_lines(path: Path, text: str, num_classes: int | None) -> dict[int, str]:
    """One name a line from id 1, or lines that begin with a number: from 0 it is the class, from 1 the id.

    A first line "???" or "background" is id 0, as in the lists of TFLite's first examples, unless the lines are then
    too few for `num_classes`.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if any(not line.isprintable() for line in (line.replace("\t", " ") for line in lines)):
        raise InputError(f"{path}: it holds control characters, so neither a label map nor a list of names.")
    numbered = [re.fullmatch(r"(\d{1,9})(?:\s*[:,]\s*|\s+)(\S.*)", line) for line in lines]
    pairs = [(int(match[1]), match[2]) for match in numbered if match]
    if len(pairs) < len(lines) or any(a[0] >= b[0] for a, b in itertools.pairwise(pairs)):
        pairs = list(enumerate(lines, 1))
        if lines[0].lower() in (NO_NAME, "background") and len(lines) != num_classes:
            pairs = list(enumerate(lines))
    elif pairs[0][0] == 0 and pairs[0][1].lower() not in (NO_NAME, "background"):
        pairs = [(number + 1, name) for number, name in pairs]
    return {i: name for i, name in pairs if i and name != NO_NAME}
