"""JSON as it is read from files that anybody may have written, and as it is written."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

from visionport.errors import InputError
from visionport.filetypes import read_file

MOST_BYTES = 8 << 20
MOST_DEPTH = 64
LONGEST = 40  # characters of a number


def read_json(path: Path) -> Any:
    """What the file says. Raises InputError with a sentence for what is no plain JSON, OSError as `open` does."""
    data = read_file(path, limit=MOST_BYTES)
    try:
        content = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=without_doubles,
            parse_constant=refuse_number,
            parse_int=read_whole,
            parse_float=read_real,
        )
        check_depth(content)
    except RecursionError:
        raise InputError(f"{path} cannot be read: it is nested deeper than {MOST_DEPTH} levels.") from None
    except UnicodeDecodeError as e:
        raise InputError(f"{path} cannot be read: it is not UTF-8 at byte {e.start}.") from None
    except ValueError as e:
        raise InputError(f"{path} cannot be read as JSON: {e}.") from None
    return content


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:LONGEST]!r} is there twice")
        found[name] = value
    return found


def refuse_number(text: str) -> float:
    raise ValueError(f"{text[:LONGEST]} is no number of JSON")


def read_whole(text: str) -> int:
    if len(text) > LONGEST:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


def read_real(text: str) -> float:
    value = float(text) if len(text) <= LONGEST else math.inf
    return value if math.isfinite(value) else refuse_number(text)


def check_depth(content: Any) -> None:
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise RecursionError
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list)))
        level = [v for values in inner for v in values]


def json_text(content: Any) -> str:
    """For people and programs. A file's name that is not UTF-8 has its bytes as \\udc80 to \\udcff, as Python's."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def write_json(path: str | os.PathLike, content: Any) -> None:
    Path(path).write_text(json_text(content) + "\n", "utf-8")
