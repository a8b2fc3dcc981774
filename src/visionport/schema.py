"""What values of a JSON file must be, written as Python: checked in one place, each mistake a sentence.

A kind is one of:

- str, int, float, bool, None: a value of that type; a whole number is a float too
- [kind]: a list of such
- {"name": kind, ...}: an object with these names; "name?" may be missing, and with `...: kind` so may any other name be
- a set of strings: one of them
- (kind, ...): any of these
- a function of (value, where) that raises InputError
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from visionport.errors import InputError, nearest

LARGEST = 2**53  # of whole numbers, which all programs read alike
NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", None: "null"}


def check(value: Any, kind: Any, where: str = "") -> None:
    """Raises InputError, which names the place in the file, for a value that is not of the kind."""
    if isinstance(kind, types.FunctionType):
        kind(value, where)
    elif isinstance(kind, Mapping):
        check_object(value, kind, where)
    elif isinstance(kind, list):
        refuse(where, value, "a list", unless=isinstance(value, list))
        for i, inner in enumerate(value):
            check(inner, kind[0], f"{where}[{i}]")
    elif isinstance(kind, tuple):
        check_any(value, kind, where)
    elif isinstance(kind, (set, frozenset)):
        refuse(where, value, "a text", unless=isinstance(value, str))
        if value not in kind:
            known = sorted(kind)
            raise InputError(f"{where} is {value[:80]!r}{nearest(value, known)}. One of: {', '.join(known)}.")
    else:
        refuse(where, value, NAMES[kind], unless=is_of(value, kind))


def check_object(value: Any, kind: Mapping, where: str) -> None:
    refuse(where, value, "an object", unless=isinstance(value, dict))
    names = {name.removesuffix("?"): inner for name, inner in kind.items() if name is not ...}
    for name in kind:
        if name is not ... and not name.endswith("?") and name not in value:
            raise InputError(f"{join(where, name)} is missing.")
    for name, inner in value.items():
        if name in names:
            check(inner, names[name], join(where, name))
        elif ... in kind:
            check(inner, kind[...], join(where, name))
        else:
            raise InputError(f"{join(where, name)} is unknown{nearest(name, names)}.")


def check_any(value: Any, kinds: tuple, where: str) -> None:
    wrong = []
    for kind in kinds:
        try:
            check(value, kind, where)
            return
        except InputError as e:
            wrong.append(e)
    inner = next((e for e in wrong if not str(e).startswith(f"{where} is ")), None)  # the right kind, wrong within
    raise inner or InputError(f"{where} is {shown(value)}, not {' or '.join(map(in_words, kinds))}.")


def is_of(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    if kind in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
        return whole or (kind is float and isinstance(value, float))
    return isinstance(value, kind)


def refuse(where: str, value: Any, wanted: str, *, unless: bool) -> None:
    if not unless:
        raise InputError(f"{where or 'all of it'} is {shown(value)}, not {wanted}.")


def shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return "null" if value is None else repr(value)[:80]


def in_words(kind: Any) -> str:
    if isinstance(kind, (set, frozenset)):
        return f"one of {', '.join(sorted(kind))}"
    if isinstance(kind, types.FunctionType):
        return kind.__doc__ or "that"
    return "an object" if isinstance(kind, Mapping) else "a list" if isinstance(kind, list) else NAMES[kind]


def join(where: str, name: str) -> str:
    return f"{where}.{name[:80]}" if where else name[:80]


def number(least: float, most: float, kind: type = int) -> Callable[[Any, str], None]:
    """A kind: a number from `least` to `most`."""

    def check_number(value: Any, where: str) -> None:
        check(value, kind, where)
        if not least <= value <= most:
            raise InputError(f"{where} is {value}, not {in_words(check_number)}.")

    return in_these_words(check_number, f"from {least:,} to {most:,}")


def kind_of(cls: type) -> dict[Any, Any]:
    """An object with a dataclass's fields, of their types; those with a default may be missing."""
    hints = typing.get_type_hints(cls)
    found = {}
    for f in dataclasses.fields(cls):
        given = f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
        found[f"{f.name}{'?' if given else ''}"] = kind_of_hint(hints[f.name])
    return found


def kind_of_hint(hint: Any) -> Any:
    """The kind of what a type says, as JSON has it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return tuple(map(kind_of_hint, inner))
    if origin is typing.Literal:
        return frozenset(inner)
    if origin is tuple:
        if inner[-1] is ...:
            return [kind_of_hint(inner[0])]
        return list_of(kind_of_hint(inner[0]), len(inner))
    if hint is type(None):
        return None
    return str if hint is Path else hint


def list_of(kind: Any, length: int) -> Callable[[Any, str], None]:
    def check_list(value: Any, where: str) -> None:
        check(value, [kind], where)
        if len(value) != length:
            raise InputError(f"{where} has {len(value)} values, not {length}.")

    return in_these_words(check_list, f"a list of {length}")


def in_these_words(kind: Callable[[Any, str], None], words: str) -> Callable[[Any, str], None]:
    """A function as a kind, with what an error says of it."""
    kind.__doc__ = words
    return kind
