"""Every error that a user can meet, as a tree. Each message says what, where and what next."""

import difflib
import itertools
from collections.abc import Iterable


class VisionportError(Exception):
    """Base of all: the request or an input is wrong (exit status 2)."""


class ConfigError(VisionportError):
    """A config cannot be read, or asks for what cannot be built."""


class CheckpointError(VisionportError):
    """A checkpoint cannot be found or read."""


class MismatchError(VisionportError):
    """Checkpoint and config do not fit. `problems` holds one `params.Problem` a tensor."""

    def __init__(self, message, problems=()):
        super().__init__(message)
        self.problems = tuple(problems)


class OptionError(VisionportError):
    """Options contradict each other or name something unknown."""


class InputError(VisionportError):
    """An image, label map or other input file cannot be read."""


class OutputError(VisionportError):
    """The target exists, or cannot be written."""


class UnsupportedError(VisionportError):
    """A documented limit: the message says why and what to do instead."""


class ArtifactError(VisionportError):
    """An artifact cannot be written or run as it should."""


MOST_COMPARED = 10_000  # names; and characters of the one that is looked for, whose time grows with their square
LONGEST_NAME = 200


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """ ", nearest: a, b" for an error's end, or "" when nothing is near."""
    if len(name) > LONGEST_NAME:
        return ""
    near = difflib.get_close_matches(name, list(itertools.islice(known, MOST_COMPARED)), count, 0.6)
    return f"; nearest: {', '.join(near)}" if near else ""


def shortened(text: str, most: int = 80) -> str:
    """What a file or a user wrote, cut short for an error."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
