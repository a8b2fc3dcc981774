"""Which checkpoint is meant by a path that a user gives: a prefix, a folder, any of its files."""

import os
import re
from pathlib import Path, PureWindowsPath

from visionport.checkpoint import files
from visionport.errors import CheckpointError, nearest
from visionport.filetypes import check_file, is_text, kind_of_file

_NAMED = re.compile(
    r"""^[ \t]*model_checkpoint_path\s*:\s*(?:"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)')""", re.MULTILINE
)
_NUMBERED = re.compile(r"ckpt-(\d{1,18})$")
_MOST_STATE = 1 << 20  # bytes that are read of a `checkpoint` file
_MOST_PATH, _MOST_NAME = 4096, 255  # characters of the path in it, and of a part of that

# What a file is, by its suffix or else by its first bytes, and what to do.
_NOT_CHECKPOINTS = {
    (".pb", ".pbtxt"): "a graph: give the checkpoint that it was made from, or take `visionport freeze`.",
    (".config", ".yaml"): "a config, not a checkpoint: give it as --config.",
    (".tflite", ".onnx"): "an exported model, not a checkpoint: give the checkpoint that it was made from.",
}
_NEXT = {
    "a PyTorch file": "visionport takes TensorFlow checkpoints. Convert the weights with the tools of who trained it.",
    "a Keras file": "load it in Keras and save a checkpoint with `tf.train.Checkpoint`.",
    "an archive": "unpack it, then give the checkpoint inside.",
    "a Git LFS pointer": "run `git lfs pull` in its repository.",
    "a web page (HTML)": "download the raw file.",
}


def locate(given: str | os.PathLike) -> tuple[Path, list[str]]:
    """The prefix of the checkpoint that is meant, and what to say about the choice."""
    path = Path(given).expanduser()
    for file in (path, files.index(path)):
        check_file(file, CheckpointError)
    if path.name == "checkpoint" and path.is_file():
        path = path.parent
    if (path / "saved_model.pb").is_file() and files.index(path / "variables" / "variables").is_file():
        path = path / "variables" / "variables"
    if path.is_dir():
        if not files.index(path).is_file() or os.fspath(given).endswith(("/", os.sep)):
            return _in_folder(path)
        return path, [f"{path} is a directory and also a checkpoint's prefix: took {path}.index, not {path}/"]
    for suffixes, what in _NOT_CHECKPOINTS.items():
        if path.is_file() and path.suffix in suffixes:
            raise CheckpointError(f"{path} is {what}")
    prefix = files.prefix_of(path)
    kind = "" if files.index(prefix).is_file() else kind_of_file(path)
    if kind:
        advice = next((text for what, text in _NEXT.items() if kind.startswith(what)), "give a TensorFlow checkpoint.")
        raise CheckpointError(f"{path} is {kind}, not a checkpoint: {advice}")
    if not kind and path.is_file() and not files.index(prefix).is_file() and is_text(files.ends(path)[0]):
        raise CheckpointError(f"{path} is a text file, not a checkpoint: give a prefix such as DIR/ckpt-5.")
    if files.exists(prefix):
        return prefix, []
    if path.is_file() or files.shards(prefix):
        raise CheckpointError(
            f"{path}: there is no {prefix.name}.index beside it, without which a checkpoint cannot be read. "
            f"Copy {prefix.name}.index and {prefix.name}.data-* together from where it was trained."
        )
    raise _missing(path)


def _in_folder(folder: Path, *, deeper: bool = True) -> tuple[Path, list[str]]:
    """deeper: look also into a folder named `checkpoint` in it, as exports have one."""
    prefix, reason = _from_state(folder)
    if prefix:
        return prefix, [reason] if reason else []
    found = files.prefixes(folder)
    if found:
        best = max(map(_rank, found))
        newest = [prefix for prefix in found if _rank(prefix) == best]
        if len(newest) > 1:
            names = ", ".join(prefix.name for prefix in newest)
            raise CheckpointError(f"{reason}, and nothing says which of {names} is meant. Give one: {newest[0]}")
        why = "the only one there" if len(found) == 1 else f"the newest{' complete' if best[0] else ''} of {len(found)}"
        return newest[0], [f"{reason}: took {newest[0].name}, {why}"]
    if deeper and (folder / "checkpoint").is_dir():
        prefix, warnings = _in_folder(folder / "checkpoint", deeper=False)
        return prefix, [f"{folder} has no checkpoint itself: took {prefix}", *warnings]
    raise _no_checkpoint(folder)


def _from_state(folder: Path) -> tuple[Path | None, str]:
    """The checkpoint that the folder's `checkpoint` file names, if it is there, and what the user should know."""
    state = folder / "checkpoint"
    if not state.is_file():
        return None, f"{folder} has no `checkpoint` file"
    if files.is_lfs_pointer(state):
        return None, f"{state} is a Git LFS pointer (`git lfs pull` gets the file)"
    named = _named_by(state)
    if not named:
        return None, f"{state} names no checkpoint"
    shown = named if named.isprintable() else repr(named)
    stated = files.prefix_of(folder / named)  # as TensorFlow reads it: an absolute path stays as it is
    beside = files.prefix_of(folder / PureWindowsPath(named).name)  # takes both kinds of slash
    order = (beside, stated) if Path(named).is_absolute() else (stated, beside)
    prefix = next((path for path in order if path != state and files.exists(path)), None)
    if not prefix:
        return None, f"{state} names {shown}, which is not there"
    surprising = prefix != order[0] or (files.exists(stated) and stated.resolve() != prefix.resolve())
    surprising |= prefix.resolve().parent != folder.resolve()
    return prefix, f"{state} names {shown}: took {prefix}" if surprising else ""


def _named_by(state: Path) -> str:
    """The path in a `checkpoint` file, the text of a CheckpointState; "" where there is none."""
    from google.protobuf import text_encoding

    with files.opened(state) as file:
        text = file.read(_MOST_STATE).decode("utf-8", "replace")
    found = _NAMED.search(text)
    try:
        named = text_encoding.CUnescape(found[1] or found[2]).decode() if found else ""
    except ValueError:
        return ""
    possible = "\0" not in named and max(map(len, PureWindowsPath(named).parts), default=0) <= _MOST_NAME
    return named if possible and len(named) <= _MOST_PATH else ""


def _rank(prefix: Path) -> tuple[bool, int, int]:
    """Orders checkpoints of a folder: complete, then numbered, then model.ckpt, then any."""
    complete = not (files.is_lfs_pointer(files.index(prefix)) or files.data_problem(prefix))
    number = _NUMBERED.search(prefix.name)
    return (complete, 2, int(number[1])) if number else (complete, int(bool(files.V1_NAME.fullmatch(prefix.name))), 0)


def _missing(path: Path) -> CheckpointError:
    name, folder = path.name, path.parent
    while not folder.is_dir():
        name, folder = folder.name, folder.parent
    near = nearest(files.PART.sub("", name), {files.PART.sub("", p.name) for p in folder.iterdir()})
    return CheckpointError(
        f"{path}: no such checkpoint. {folder.resolve()} has no {name!r}{near}. "
        "Give a prefix such as DIR/ckpt-5, its .index file, or the directory."
    )


def _no_checkpoint(folder: Path) -> CheckpointError:
    where = f"{folder}: no checkpoint in this directory"
    names = sorted(path.name for path in folder.iterdir())
    shards = [name for name in names if files.PART.search(name)]
    inside = sorted({path.parent for path in folder.glob("*/*.index")})
    if shards:
        index = files.PART.sub(".index", shards[0])
        return CheckpointError(f"{where}: {shards[0]} is there without {index}. Copy {index} beside it.")
    if {"saved_model", "saved_model.pb", "frozen_inference_graph.pb"} & set(names):
        what = "give the checkpoint that it was made from, or take `visionport freeze`."
        return CheckpointError(f"{where}, which is an exported model: {what}")
    if inside:
        return CheckpointError(f"{where}, but in its folders: give one of {', '.join(map(str, inside[:5]))}")
    holds = f"it holds {', '.join(names[:5])}" if names else "it is empty"
    return CheckpointError(f"{where} ({holds}). It should hold files such as ckpt-5.index and ckpt-5.data-*.")
