"""Flags as absl and the old scripts read them: `--flag value`, `--flag=value`, `--flag`, `--noflag`."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from visionport.errors import OptionError, nearest
from visionport.process import program

WORDS = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}
# absl's own, about logging: taken and without effect.
LOGGING = ("logtostderr", "alsologtostderr", "verbosity", "v", "stderrthreshold", "log_dir")


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag of a script. A bool's default is a bool, an int's `kind` is int; None is no default.

    repeated: it may be given several times; its value is a tuple of all.
    """

    name: str
    help: str
    default: Any = None
    kind: type = str
    required: bool = False
    choices: tuple[str, ...] = ()
    repeated: bool = False


ALLOW_UNSAFE_OPS = Flag(
    name="allow_unsafe_ops",
    default=False,
    kind=bool,
    help="Not the original's: run ops that do something outside of the graph. Only for what you trust.",
)


def parse(flags: Sequence[Flag], arguments: Sequence[str]) -> SimpleNamespace:
    """The value of each flag. Raises OptionError for what is unknown, missing, or no value of the flag."""
    known = {f.name: f for f in flags}
    values = {f.name: () if f.repeated else f.default for f in flags}
    queue = list(arguments)
    while queue:
        given = queue.pop(0)
        if not given.startswith("-") or not given.strip("-"):
            raise OptionError(f"{given!r} is not a flag. Flags: {names(flags)}.")
        name, equals, value = given.lstrip("-").partition("=")
        name = name.replace("-", "_")  # as our own errors name some
        flag, negated = known.get(name), known.get(name.removeprefix("no"))
        if name in LOGGING and not flag:
            if not equals and queue and not queue[0].startswith("-"):
                queue.pop(0)
        elif flag and flag.kind is bool:
            if not equals:
                value = queue.pop(0) if queue and queue[0].lower() in WORDS else "true"
            values[name] = convert(flag, value)
        elif flag:
            if not equals:
                if not queue:
                    raise OptionError(f"--{name} wants a value: --{name}=VALUE.")
                value = queue.pop(0)
            found = convert(flag, value)
            values[name] = (*values[name], found) if flag.repeated else found
        elif negated and negated.kind is bool and not equals:
            values[negated.name] = False
        else:
            raise OptionError(f"--{name} is unknown{nearest(name, known)}. Flags: {names(flags)}.")
    missing = [f"--{f.name}" for f in flags if f.required and values[f.name] in (None, "")]
    if missing:
        raise OptionError(f"{' and '.join(missing)} must be given. Try --help.")
    return SimpleNamespace(**values)


def convert(flag: Flag, value: str):
    if flag.kind is bool:
        if value.lower() not in WORDS:
            raise OptionError(f"--{flag.name}={value}: true or false.")
        return WORDS[value.lower()]
    if flag.kind is int:
        try:
            return int(value)
        except ValueError:
            raise OptionError(f"--{flag.name}={value}: a whole number.") from None
    if flag.choices and value not in flag.choices:
        raise OptionError(
            f"--{flag.name}={value} is unknown{nearest(value, flag.choices)}. One of: {', '.join(flag.choices)}."
        )
    return value


def names(flags: Sequence[Flag]) -> str:
    return ", ".join(f"--{f.name}" for f in flags)


def usage(title: str, flags: Sequence[Flag]) -> str:
    lines = [title, ""]
    for f in flags:
        name = f"--[no]{f.name}" if f.kind is bool else f"--{f.name}={'N' if f.kind is int else 'TEXT'}"
        end = "required" if f.required else f"default: {shown(f.default)}"
        one_of = f" One of: {', '.join(f.choices)}." if f.choices else ""
        lines.append(f"  {name}\n      {f.help}{one_of} ({end})")
    return "\n".join(lines)


def shown(default) -> str:
    """A default as it would be typed; "none" where there is none."""
    if isinstance(default, bool):
        return str(default).lower()
    return "none" if default in (None, "") else str(default)


def call(title: str, flags: Sequence[Flag], run: Callable[[SimpleNamespace], None], arguments=None) -> None:
    """Parses and runs; our errors become text and an exit status, as on the command line."""
    from visionport.cli import told

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if {"--help", "-help", "-h", "--helpfull", "--helpshort"} & set(arguments):
        print(usage(title, flags))
        return
    with told():
        run(parse(flags, arguments))


def start(main: Callable[[], None]) -> None:
    """A script's `main`, as a program of its own."""
    with program():
        from visionport.cli import mute_tensorflow

        mute_tensorflow()
        main()


def print_command(command: str, options: Sequence[tuple[str, Any]]) -> None:
    """The same in `visionport`'s own words. options: (name, value), True for a flag; None and "" are left out."""
    words = ["visionport", command]
    for name, value in options:
        if value is True:
            words.append(name)
        elif value is not None and value is not False and str(value):
            words += [name, str(value)]
    print(shlex.join(words), flush=True)


def is_full(folder) -> bool:
    return os.path.isdir(folder) and bool(os.listdir(folder))
