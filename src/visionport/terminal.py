"""What is shown on a terminal: names and messages from files are text, and never move its cursor or change its look.

Control characters, line separators and marks that turn the direction of writing are shown as JSON escapes them, so that
JSON stays JSON. `guard` does so with all that is printed; our own tables and stages go through `console_of` and
`unguarded`, where each string is escaped first.
"""

import re
from typing import Any

# C0 and C1 but for tab and newline, surrogates (bytes of names that are no text), and what Unicode calls bidirectional
# controls, separators, byte order marks and tags.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def escaped(text: str) -> str:
    """The text with \\u001b for ESC, and so on; newlines and tabs stay."""
    return HIDDEN.sub(_escape, text)


def one_line(text: str) -> str:
    """The same for a name, which has no lines."""
    return escaped(text).replace("\n", "\\n").replace("\t", "\\t")


def paragraph(text: str) -> str:
    """The same for a message: what is below its first line is indented, so that nothing in it looks like another."""
    return escaped(text).replace("\n", "\n  ")


def _escape(match: re.Match) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


class Guarded:
    """A text stream that escapes what is written to it."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self):
        return iter(self.stream)

    def write(self, text: str) -> int:
        self.stream.write(escaped(text))
        return len(text)

    def writelines(self, lines) -> None:
        for line in lines:
            self.write(line)


def guard(stream: Any) -> Any:
    """The stream, guarded; none stays none."""
    return stream if stream is None or isinstance(stream, Guarded) else Guarded(stream)


def unguarded(stream: Any) -> Any:
    """Where to write what moves the cursor."""
    return stream.stream if isinstance(stream, Guarded) else stream


def console_of(stream: Any, width: int | None = None):
    """A rich console: strings are no markup, and all of their control characters are escaped.

    As wide as the terminal, unless `width` is given.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        def render(self, renderable, options=None):
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else escaped(text), style, control)

    return Plain(file=unguarded(stream), width=width, markup=False, emoji=False, highlight=False)
