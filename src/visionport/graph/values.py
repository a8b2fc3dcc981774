"""The values of a graph's variables: from a checkpoint, or from nodes that initialise them."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from visionport.errors import CheckpointError, InputError, MismatchError, OptionError
from visionport.graph import edit, effects

EMPTY: Mapping[str, Any] = MappingProxyType({})


class Values(Mapping[str, Any]):
    """Arrays by variables' names, read when asked for. read: key -> array; keys: name -> key; given: name -> array."""

    def __init__(self, read: Callable[[str], Any], keys: Mapping[str, str], given: Mapping[str, Any] = EMPTY):
        self.read, self.keys_, self.given = read, keys, given

    def __getitem__(self, name: str):
        return self.given[name] if name in self.given else self.read(self.keys_[name])

    def __iter__(self) -> Iterator[str]:
        return iter({**self.keys_, **self.given})

    def __len__(self) -> int:
        return len({**self.keys_, **self.given})


def restored(graph) -> dict[str, str]:
    """Variable -> the checkpoint's key that the graph's own restore nodes give it; in TF2 they are in a function."""
    keys = assigned(graph.node)
    functions = {f.signature.name: f for f in graph.library.function if any(n.op == "RestoreV2" for n in f.node_def)}
    for call in graph.node:
        function = functions.get(call.attr["f"].func.name) if call.op in edit.CALLS else None
        if function:
            found = assigned(function.node_def)
            outer = {a.name: edit.base(i) for a, i in zip(function.signature.input_arg, call.input, strict=False)}
            keys |= {outer[arg]: key for arg, key in found.items() if arg in outer}
    return keys


def assigned(nodes_) -> dict[str, str]:
    """What nodes of a graph or a function assign from a checkpoint: variable (or its argument) -> key."""
    import tensorflow as tf

    nodes = {n.name: n for n in nodes_}

    def source(name: str) -> tuple[Any, int]:
        found = nodes.get(edit.base(name))
        while found is not None and found.op == "Identity":
            name = found.input[0]
            found = nodes.get(edit.base(name))
        _, *index = name.split(":")  # NODE, NODE:INDEX; in a function NODE:OUTPUT:INDEX
        return found, int(index[-1]) if index else 0

    keys = {}
    for node in nodes_:
        if node.op not in ("Assign", "AssignVariableOp"):
            continue
        restore, index = source(node.input[1])
        if restore is not None and restore.op == "RestoreV2":
            names, _ = source(restore.input[1])
            if names is not None and names.op == "Const":
                listed = tf.make_ndarray(names.attr["value"].tensor).reshape(-1)
                if index < len(listed) and isinstance(listed[index], bytes):
                    keys[edit.base(node.input[0])] = listed[index].decode(errors="replace")
    return keys


def from_checkpoint(path: Path, checkpoint: Path | None, nodes: Sequence[Any], keys, start) -> Mapping[str, Any]:
    """Variables' values; raises MismatchError where the checkpoint has not all of them, in their shapes."""
    from visionport.checkpoint.open import open_checkpoint
    from visionport.checkpoint.params import Problem, show

    nodes = [n for n in nodes if n.name not in start]
    if not nodes:
        return start
    if checkpoint is None:
        names = ", ".join(n.name for n in nodes[:3])
        raise OptionError(f"{path} has {len(nodes)} variables ({names}, ...): give their values with --checkpoint.")
    opened = open_checkpoint(checkpoint)
    if opened.data_problem:
        raise CheckpointError(opened.data_problem)
    found, problems = {}, []
    for node in nodes:
        key = next((k for k in candidates(node, keys) if k in opened.entries), None)
        wanted = [d.size if d.size >= 0 else None for d in node.attr["shape"].shape.dim]
        if key is None:
            near = ", ".join(difflib.get_close_matches(node.name, list(opened.entries), 1, 0.6))
            problems.append(Problem(kind="missing", name=node.name, wanted=show(wanted), near=near))
        elif not fits(opened.entries[key].shape, node.attr["shape"].shape):
            has = f"{show(opened.entries[key].shape)} {key}"
            problems.append(Problem(kind="wrong shape", name=node.name, wanted=show(wanted), found=has))
        else:
            found[node.name] = key
    if problems:
        raise MismatchError(
            f"{opened.prefix} does not fit {path}: {len(problems)} of {len(nodes)} variables. Is it of this graph?",
            problems,
        )
    return Values(opened.__getitem__, found, start)


def from_saved_model(
    path: Path, tags: Iterable[str], nodes: Sequence[Any], keys: Mapping[str, str], foreign
) -> Mapping[str, Any]:
    """Variables' values: from its checkpoint, where the graph tells their keys; else from a session that loads it.

    foreign: its graph, where nobody trusts it; None otherwise.
    """
    import tensorflow as tf

    from visionport.checkpoint.open import open_variables

    stored = open_variables(path) if nodes else None
    try:
        if all(n.name in keys for n in nodes):
            return Values(lambda key: read(stored, key, path), {n.name: keys[n.name] for n in nodes})
        if foreign is not None:
            effects.refuse(path, effects.find_evaluated(foreign))
        with tf.compat.v1.Session(graph=tf.Graph()) as session:
            load_saved_model(session, path, tags)
            reads = {n.name: reader(session.graph, n) for n in nodes}
            return session.run(reads)  # at once: each run looks through the whole graph
    except (tf.errors.OpError, OSError, ValueError) as e:
        raise unreadable(path, e) from None


def load_saved_model(session, path: Path, tags: Iterable[str]) -> None:
    """Loads a SavedModel into a session, which initialises it. Raises InputError where that fails."""
    from tensorflow.python.saved_model import loader_impl

    from visionport.checkpoint.open import open_variables

    open_variables(path)
    try:
        loader_impl.SavedModelLoader(str(path)).load(session, sorted(tags))
    except Exception as e:  # whatever TensorFlow makes of a stranger's file
        raise InputError(f"{path}: TensorFlow does not load it: {edit.first_line(e)}.") from None


def read(stored, key: str, path: Path):
    if stored is None or key not in stored.stored:
        raise InputError(f"{path}: its variables have no {key!r}.")
    return stored.get_tensor(key)


def unreadable(path: Path, error: Exception) -> InputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InputError(f"{path}: its variables cannot be read: {reason}")


def candidates(node, keys: Mapping[str, str]) -> list[str]:
    shared = node.attr["shared_name"].s.decode()
    return [k for k in (keys.get(node.name), shared, node.name) if k]


def fits(shape: Sequence[int], wanted) -> bool:
    if wanted.unknown_rank:
        return True
    return len(shape) == len(wanted.dim) and all(d.size in (-1, n) for n, d in zip(shape, wanted.dim, strict=True))


def initialized(graph, names: Sequence[str]) -> dict[str, Any]:
    """The variables that have a value after these nodes have run."""
    import tensorflow as tf

    with tf.Graph().as_default() as imported:
        edit.import_graph(graph)
        found = {}
        with tf.compat.v1.Session() as session:
            try:
                session.run([imported.get_operation_by_name(edit.base(n)) for n in names])
            except tf.errors.OpError as e:
                raise InputError(f"{', '.join(names)} cannot be run: {edit.first_line(e)}.") from None
            for name, node in edit.variables(graph).items():
                try:
                    found[name] = session.run(reader(imported, node))
                except tf.errors.FailedPreconditionError:
                    continue
    return found


def reader(graph, node):
    """The tensor of a variable's value."""
    import tensorflow as tf

    tensor = graph.get_tensor_by_name(f"{node.name}:0")
    if node.op != "VarHandleOp":
        return tensor
    with graph.as_default():
        return tf.raw_ops.ReadVariableOp(resource=tensor, dtype=tf.dtypes.as_dtype(node.attr["dtype"].type))
