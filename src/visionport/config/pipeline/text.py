"""Reads the `pipeline.config` of an Object Detection API model: protobuf text, checked against od.proto.

What decides inference is read strictly. What only training reads may hold anything: a mistake there is skipped with a
warning, since many people have such files, two of the published ones included.
"""

import os
import re
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from visionport.downloads import check_download
from visionport.errors import ConfigError, VisionportError, nearest, shortened
from visionport.filetypes import read_file

STRICT = {"model", "graph_rewriter"}  # the sections that change inference
OBSOLETE = {("SsdFeatureExtractor", "batch_norm_trainable")}  # (message, field) of older schemas, training only
MOST_BYTES = 4 << 20  # of a file; the largest label maps that people have are of 1 MB, configs of 40 kB
MOST_SKIPPED = 100  # a file with more mistakes than this is no config
MOST_TOLD = 20  # of them
UNSET = "PATH_TO_BE_CONFIGURED"  # what published configs hold in place of a path


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A `pipeline.config` as read: `message` is a TrainEvalPipelineConfig, overrides included."""

    path: Path
    message: Message
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The config as the Object Detection API's own exporters write it."""
        return text_format.MessageToString(self.message)


def read_pipeline(path: str | Path, override: str = "") -> Pipeline:
    """Read a config file, or the one in a directory; `override` is more of the same text, merged over it.

    As in the Object Detection API, later values replace earlier ones and repeated fields grow.
    """
    path = find_pipeline(Path(path))
    text = read_text(path, "config", ConfigError)
    refuse_other_kinds(path, text)
    message = message_class("TrainEvalPipelineConfig")()
    warnings = merge_text(text, message, str(path), lenient=True)
    if override:
        merge_text(override, message, "--config-override")
    if not message.HasField("model"):
        raise ConfigError(f"{path}: there is no model {{ ... }} in it, so nothing to build. Is it the whole file?")
    if message.model.WhichOneof("model") is None:
        raise ConfigError(f"{path}: model {{ ... }} is empty; it needs one of: {_fields_of(message.model)}")
    return Pipeline(path=path, message=message, warnings=tuple(warnings))


def label_map_paths(pipeline: Pipeline) -> list[str]:
    """The label maps that the input readers name, as written, each once; names never filled in are left out."""
    readers = [pipeline.message.train_input_reader, *pipeline.message.eval_input_reader]
    paths = dict.fromkeys(reader.label_map_path.strip() for reader in readers)
    return [path for path in paths if path and path != UNSET]


def lies_near(path: Path, folder: Path) -> bool:
    """Whether a file that a config names is below its folder or the working directory, links resolved.

    A config may be a stranger's: it must not make others of the user's files appear in what is exported.
    """
    try:
        real = path.resolve()
        return any(real.is_relative_to(base.resolve()) for base in (folder, Path()))
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name that cannot be one
        return False


# The schema


@cache
def message_class(name: str) -> type[Message]:
    """The protobuf class of a message of od.proto, in a descriptor pool of our own."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"visionport.od.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    files = descriptor_pb2.FileDescriptorSet.FromString(Path(__file__).with_name("od.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


# Files


def find_pipeline(path: Path) -> Path:
    """The config file that `path` means: itself, or in a directory `pipeline.config`, else the only *.config."""
    if not path.is_dir():
        return path
    configs = [path / "pipeline.config"]
    if not configs[0].is_file():
        configs = sorted(file for file in path.glob("*.config") if file.is_file())
    if not configs:
        raise ConfigError(f"{path}: this directory holds no pipeline.config and no other *.config. Name the file.")
    if len(configs) > 1:
        names = ", ".join(config.name for config in configs[:10]) + ", ..." * (len(configs) > 10)
        raise ConfigError(f"{path}: this directory holds several configs. Name one: {names}")
    return configs[0]


def read_text(path: Path, what: str, error: type[VisionportError]) -> str:
    """The text of a file, newlines as "\\n"; `error` with a reason when it cannot be text that somebody wrote."""
    if os.path.isdir(path):  # unlike is_dir, takes any name
        raise error(f"{path}: this is a directory, not a {what}. Name the file.")
    if not os.path.isdir(path.parent):
        raise error(f"{path}: no such {what}: there is no directory {path.parent}.")
    if not os.path.exists(path):
        names = [other.name for other in path.parent.iterdir()]
        raise error(f"{path}: no such {what}{nearest(path.name, names) or f'. Is it elsewhere than in {path.parent}?'}")
    try:
        data = read_file(path, limit=MOST_BYTES, error=error)
    except OSError as failure:
        raise error(f"{path}: this {what} cannot be read: {failure.strerror or failure}.") from None
    check_download(data, path, what, error)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = data.count(b"\n", 0, failure.start) + 1
        raise error(f"{path}:{line}: not UTF-8 text, so not a {what} as it is. Save it as UTF-8.") from None
    if "\0" in text:
        raise error(f"{path}: a binary file, not a {what}, which is text.")
    if not text.strip():
        raise error(f"{path}: this {what} is empty. Copy it again from where it was.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def looks_like_yaml(code: str) -> bool:
    """Whether text without comments begins as YAML does and has no brackets."""
    return bool(re.match(r"---|\w+:[ ]*\n", code)) and not re.search("[{<]", code)


def refuse_other_kinds(path: Path, text: str) -> None:
    """ConfigError for the files that people give in place of a pipeline.config."""
    code = re.sub(r"#[^\n]*", "", text).strip()
    kind, next_step = "", ""
    if path.suffix.lower() == ".json" or re.match(r'[\[{]\s*["\[{\]}]', code):
        kind, next_step = "JSON", "Give the pipeline.config that the model was trained with."
    elif path.suffix.lower() in (".yaml", ".yml") or looks_like_yaml(code):
        kind = "YAML"
        next_step = "TF Official Vision models take it with --experiment NAME --config-file FILE."
    elif re.match(r"item\s*(:\s*)?[{<]", code):
        kind, next_step = "a label map", "Give it with --labels, and the pipeline.config here."
    if kind:
        raise ConfigError(f"{path}: this is {kind}, not the protobuf text of a pipeline.config. {next_step}")


# Parsing: text_format does it; where it fails, our own outline of the text says what the mistake belongs to


def merge_text(
    text: str, message: Message, where: str, *, lenient: bool = False, error: type[VisionportError] = ConfigError
) -> list[str]:
    """Merge protobuf text into `message`; returns warnings for what was skipped.

    lenient: skip mistakes outside of the STRICT sections, and obsolete fields; otherwise all is strict.
    where: the file's path, or the name of the option that the text came from.
    """
    merged = type(message)()
    try:
        text_format.Merge(text, merged)
    except text_format.ParseError as failure:
        pieces = Pieces(text, where, lenient=lenient, error=error)
        merged = type(message)()
        pieces.merge(pieces.outline.root.children, merged)
        if not pieces.skipped:  # each statement by itself is right
            place = pieces.outline.position(pieces.outline.place_of(failure, pieces.outline.root))
            raise error(f"{_place(where, *place)}: {shortened(_own_words(failure))}") from None
        message.MergeFrom(merged)
        return pieces.warnings()
    message.MergeFrom(merged)
    return []


class Pieces:
    """Text with mistakes, merged statement by statement: of one that text_format refuses, its own statements.

    So a text is parsed once for each level of it, however many mistakes are skipped.
    """

    def __init__(self, text: str, where: str, *, lenient: bool, error: type[VisionportError]):
        self.text, self.where, self.lenient, self.error = text, where, lenient, error
        self.outline = Outline(text)
        self.skipped: list[str] = []

    def merge(self, statements: "list[Statement]", into: Message, root=None) -> None:
        """root: the descriptor of the whole text's message; None: into's."""
        root = root or into.DESCRIPTOR
        for statement in statements:
            part = type(into)()
            try:
                text_format.Merge(self.text[statement.start : statement.end], part)
            except text_format.ParseError as failure:
                self.mend(statement, part := type(into)(), failure, root)
            into.MergeFrom(part)

    def mend(self, statement: "Statement", part: Message, failure: text_format.ParseError, root) -> None:
        """Merge what is right in a statement; skip it where none of its own statements is to blame."""
        at = self.outline.place_of(failure, statement)
        culprit = self.outline.culprit(at) or statement
        if culprit.start < statement.start:  # a bare word before it, skipped already
            culprit = statement
        before = len(self.skipped)
        if culprit is not statement and (below := _below(part, statement.name)) is not None:
            self.merge(statement.children, below, root)
        if len(self.skipped) == before:
            part.Clear()
            self.skip(culprit, at, root, failure)

    def skip(self, culprit: "Statement", at: int, root, failure: text_format.ParseError) -> None:
        """Raises where the mistake may not be skipped."""
        reason = _reason(culprit, root, self.outline, at) or shortened(_own_words(failure))
        may = self.lenient and len(self.skipped) < MOST_SKIPPED and _can_skip(culprit, root, self.outline, at)
        if not may:
            at = culprit.start if culprit.bare else at
            raise self.error(f"{_place(self.where, *self.outline.position(at))}: {reason}") from None
        place = _place(self.where, *self.outline.position(culprit.start))
        snippet = shortened(" ".join(self.text[culprit.start : min(culprit.end, culprit.start + 1000)].split()), 60)
        self.skipped.append(f"{place}: skipped `{snippet}`, which only training reads: {reason}")

    def warnings(self) -> list[str]:
        more = len(self.skipped) - MOST_TOLD
        note = [f"{self.where}: {more} more statements that only training reads were skipped"] if more > 0 else []
        return [*self.skipped[:MOST_TOLD], *note]


def _below(message: Message, name: str) -> Message | None:
    """The message that a statement of that name in `message` fills; None where it is none."""
    known = message.DESCRIPTOR.fields_by_name.get(name)
    if known is None or known.message_type is None or known.message_type.GetOptions().map_entry:
        return None
    if known.is_repeated:
        return getattr(message, name).add()
    below = getattr(message, name)
    below.SetInParent()
    return below


@dataclass(slots=True)
class Statement:
    """`name: value` or `name { children }` in protobuf text: text[start:end]; bare when it has no value."""

    name: str
    start: int
    end: int
    parent: "Statement | None" = None
    children: list["Statement"] = field(default_factory=list)
    bare: bool = False

    def path(self) -> list[str]:
        """The names from the top level down to this one."""
        names, statement = [], self
        while statement.parent:
            names.append(statement.name)
            statement = statement.parent
        return names[::-1]


class Outline:
    """Protobuf text as a tree of statements; never fails, however damaged the text."""

    token = re.compile(
        r"""\#[^\n]* | "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'? | [{}<>\[\]:;,] | [^\s{}<>\[\]:;,\#"']+""", re.X
    )

    def __init__(self, text: str):
        self.text = text
        self.starts, self.ends = array("I"), array("I")  # of the tokens
        for match in self.token.finditer(text):
            if text[match.start()] != "#":
                self.starts.append(match.start())
                self.ends.append(match.end())
        self.root = Statement("", 0, len(text) + 1)
        self.unclosed = self._fill(self.root)

    def _fill(self, root: Statement) -> Statement | None:
        """Hang all statements under `root`; returns the innermost one that is never closed."""
        parent, i = root, 0
        while i < len(self.starts):
            kind = self._kind(i)
            if kind in ",;" and parent.children:
                parent.children[-1].end = self.ends[i]
                i += 1
            elif kind in "}>" and parent is not root:
                parent.end = self.ends[i]
                parent, i = parent.parent or root, i + 1
            else:
                start, name_end = i, self._list_end(i) if kind == "[" else i + 1
                value = name_end + (self._kind(name_end) == ":")
                end = self._value_end(value, colon=value > name_end)
                name = self.text[self.starts[start] : self.ends[name_end - 1]]
                stop = self.ends[end - 1]
                statement = Statement(name, self.starts[start], stop, parent, bare=end <= value)
                parent.children.append(statement)
                i = end
                if not statement.bare and self._kind(value) in "{<":
                    statement.end = len(self.text) + 1
                    parent = statement
        return parent if parent is not root else None

    def _kind(self, i: int) -> str:
        """Token i if punctuation, '"' for a string, "w" for a word, "$" past the end."""
        if i >= len(self.starts):
            return "$"
        first = self.text[self.starts[i]]
        return first if first in "{}<>[]:;," else '"' if first in "\"'" else "w"

    def _list_end(self, i: int) -> int:
        depth = 0
        for j in range(i, len(self.starts)):
            depth += (self._kind(j) in "[{<") - (self._kind(j) in "]}>")
            if depth == 0:
                return j + 1
        return len(self.starts)

    def _value_end(self, i: int, colon: bool) -> int:
        """The index after the value that begins at token i (after its opening bracket), or i when there is none."""
        kind = self._kind(i)
        if kind == "[":
            return self._list_end(i) if colon else i
        if kind == '"':
            while self._kind(i) == '"':
                i += 1
            return i
        number = kind == "w" and self.text[self.starts[i]] in "+-0123456789"
        return i + (kind in "{<" or number or (colon and kind == "w"))

    def place_of(self, failure: text_format.ParseError, statement: Statement) -> int:
        """The place in the text of an error in one of its statements."""
        at = statement.start
        for _ in range((failure.GetLine() or 1) - 1):
            at = self.text.find("\n", at) + 1
        at += (failure.GetColumn() or 1) - 1
        if "parse string" in str(failure):  # text that is no UTF-8, as from "C:\2019": noticed one token late
            at = self.starts[max(0, bisect_left(self.starts, at) - 1)]
        return at

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of a place in the text."""
        return self.text.count("\n", 0, offset) + 1, offset - self.text.rfind("\n", 0, offset)

    def culprit(self, offset: int) -> Statement | None:
        """The statement to blame for an error at `offset`: a bare word just before it, else the innermost around it."""
        before = bisect_left(self.starts, offset) - 1
        if before >= 0 and (previous := self._innermost(self.starts[before])).bare:
            return previous
        found = self._innermost(offset)
        return found if found is not self.root else None

    def _innermost(self, offset: int) -> Statement:
        found = self.root
        while True:
            i = bisect_right(found.children, offset, key=lambda child: child.start) - 1
            if i < 0 or offset >= found.children[i].end:
                return found
            found = found.children[i]


def _can_skip(culprit: Statement, root, outline: Outline, offset: int) -> bool:
    """Whether a mistake is in a section that inference does not read, or an obsolete field, and not in its brackets."""
    path = culprit.path()
    owner = _owner(path, root)
    if owner is not None and (owner.name, culprit.name) in OBSOLETE:
        return culprit.end <= len(outline.text)
    if outline.unclosed:
        return False
    at_bracket = outline.text[offset : offset + 1] in ("}", ">") and not culprit.bare
    return len(path) > 1 and path[0] not in STRICT and path[0] in root.fields_by_name and not at_bracket


def _owner(path: list[str], root):
    """Descriptor of the message that the last name of `path` stands in; None when unknown."""
    owner = root
    for name in path[:-1]:
        known = owner.fields_by_name.get(name)
        owner = known.message_type if known else None
        if owner is None:
            return None
    return owner


def _reason(culprit: Statement | None, root, outline: Outline, offset: int) -> str:
    """What is wrong at `offset` and what next, or "" to leave it to text_format's own words."""
    value = outline.token.match(outline.text, offset)
    if value and value[0][0] in "\"'" and (len(value[0]) == 1 or value[0][-1] != value[0][0]):
        return f"the string {shortened(value[0])} has no closing quote on its line"
    unclosed = outline.unclosed
    if unclosed and offset >= outline.starts[-1]:
        line, _ = outline.position(unclosed.start)
        return f'the text ends before the "{shortened(unclosed.name)} {{" of line {line} is closed: is a "}}" missing?'
    owner = _owner(culprit.path(), root) if culprit else None
    if culprit is None or owner is None:
        return ""
    message = owner.full_name.removeprefix("visionport.od.")
    known = owner.fields_by_name.get(culprit.name)
    if known is None:
        near = nearest(culprit.name, owner.fields_by_name)
        if (owner.name, culprit.name) in OBSOLETE:
            return f"{message}.{culprit.name} is an obsolete field"
        if not re.match(r"[\w\[]", culprit.name):
            return f'a "{shortened(culprit.name)}" too many'
        if not near and culprit.name in root.fields_by_name:
            near = '; it belongs at the top level: is a "}" missing above?'
        elif not near and len(owner.fields) <= 12:
            near = f"; it has: {_fields_of(owner)}"
        near = near or "; is it in the wrong place?"
        return f'{message} has no field "{shortened(culprit.name)}"{near}'
    if culprit.bare:
        return f"{message}.{culprit.name} has no value"
    if offset == culprit.start or not value or value[0] in "}>":
        return ""
    if known.enum_type:
        values = known.enum_type.values_by_name
        near = nearest(value[0].upper(), values) or f"; it has: {', '.join(values)}"
        return f'{known.enum_type.name} (for {message}.{culprit.name}) has no value "{shortened(value[0])}"{near}'
    if known.message_type is None and ":" not in outline.text[culprit.start : offset]:
        return f'{message}.{culprit.name} needs a ":" before its value'
    return f"{message}.{culprit.name} takes {KINDS[known.cpp_type]}, not {shortened(value[0])}"


KINDS = {
    FieldDescriptor.CPPTYPE_MESSAGE: "{ ... }",
    FieldDescriptor.CPPTYPE_INT32: "a whole number of 32 bits",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number of 32 bits, from 0",
    FieldDescriptor.CPPTYPE_INT64: "a whole number of 64 bits",
    FieldDescriptor.CPPTYPE_UINT64: "a whole number of 64 bits, from 0",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_STRING: 'a string in quotes, with "/" or "\\\\" in place of a single backslash',
}


def _fields_of(message) -> str:
    return ", ".join(getattr(message, "DESCRIPTOR", message).fields_by_name)


def _own_words(failure: text_format.ParseError) -> str:
    """text_format's message without its position and its copy of the line."""
    return re.sub(r"^\d+:\d+ : (?:'.*': )?", "", str(failure), flags=re.S).replace("visionport.od.", "")


def _place(where: str, line: int, column: int) -> str:
    return f"{where}, line {line}, column {column}" if where.startswith("--") else f"{where}:{line}:{column}"
