"""manifest.json: what an export holds, what it was made of and with, to read by programs."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionport.errors import InputError, OptionError
from visionport.staging import MANIFEST


def write(folder: Path, content: dict[str, Any]) -> None:
    """Writes folder/manifest.json: `content`, and size and SHA-256 of every file in the folder."""
    files = {str(f.relative_to(folder)): file_record(f) for f in sorted(folder.rglob("*")) if f.is_file()}
    write_json(folder / MANIFEST, content | {"files": files})


def read(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is not an export of visionport: no {MANIFEST} in it.") from None
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read: {e}. Export again.") from None
    if not isinstance(content, dict) or "visionport" not in content:
        raise InputError(f"{path} is another program's: {folder} is not an export of visionport.")
    return content


def open_artifact(folder: Path, content: Mapping[str, Any], artifact: Mapping[str, Any], task, sided=None):
    """An Asker (formats/base.py) of an artifact of that manifest. sided: its side inputs' values; zeros by default."""
    from visionport.formats import format_of
    from visionport.formats.base import Asker, Reading
    from visionport.inputs import side_inputs

    if "reading" not in artifact:
        raise InputError(f"{folder / MANIFEST} is of an earlier version of visionport. Export again.")
    reading = Reading.read(artifact["reading"])
    fmt = format_of(artifact["format"])
    if missing := fmt.missing_package():
        raise OptionError(f"{folder / artifact['path']} cannot be opened here: {missing}.")
    runner = fmt.open(folder / artifact["path"], reading)
    sides = side_inputs.of(content)
    return Asker(runner=runner, reading=reading, task=task, how=content["preprocessing"], sides=sides, sided=sided)


def options_record(options) -> dict[str, Any]:
    """The exact options, but for the target's name and what does not change the files."""
    left_out = ("out", "overwrite", "merge")
    return {k: plain(v) for k, v in dataclasses.asdict(options).items() if k not in left_out}


def plain(value):
    if isinstance(value, Path):
        return str(value)
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def file_record(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}


def write_json(path: Path, content) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
