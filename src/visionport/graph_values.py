"""The values of a graph's variables: from a checkpoint, or from nodes that initialise them."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionport import graphs
from visionport.errors import CheckpointError, MismatchError, OptionError


def restored(graph) -> dict[str, str]:
    """Variable -> the checkpoint's key that the graph's own restore nodes give it, where the two differ."""
    import tensorflow as tf

    nodes = {n.name: n for n in graph.node}

    def source(name: str) -> tuple[Any, int]:
        node, _, index = name.partition(":")
        found = nodes.get(node)
        while found is not None and found.op == "Identity":
            node, _, index = found.input[0].partition(":")
            found = nodes.get(node)
        return found, int(index or 0)

    keys = {}
    for node in graph.node:
        if node.op not in ("Assign", "AssignVariableOp"):
            continue
        restore, index = source(node.input[1])
        if restore is not None and restore.op == "RestoreV2":
            names, _ = source(restore.input[1])
            if names is not None and names.op == "Const":
                key = tf.make_ndarray(names.attr["value"].tensor)[index].decode()
                keys[graphs.base(node.input[0])] = key
    return keys


def from_checkpoint(path: Path, checkpoint: Path | None, nodes: Sequence[Any], keys, start) -> dict[str, Any]:
    """Variables' values; raises MismatchError where the checkpoint has not all of them, in their shapes."""
    from visionport.checkpoint import open_checkpoint
    from visionport.params import Problem, show

    nodes = [n for n in nodes if n.name not in start]
    if not nodes:
        return dict(start)
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
    return {name: opened[key] for name, key in found.items()} | start


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

    graphs.known(graph, names, "--initializer")
    with tf.Graph().as_default() as imported:
        tf.compat.v1.import_graph_def(graph, name="")
        found = {}
        with tf.compat.v1.Session() as session:
            session.run([imported.get_operation_by_name(graphs.base(n)) for n in names])
            for name, node in graphs.variables(graph).items():
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
