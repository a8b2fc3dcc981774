"""A SavedModel with variables and a signature, of any graph and its checkpoint, or of another SavedModel."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from visionport.checkpoint.selection import Selection
from visionport.errors import OptionError
from visionport.graph import decide, edit, saved_model
from visionport.graph.freeze import GraphRequest
from visionport.graph.sources import DEFAULT_SIGNATURE
from visionport.staging import check_target, staged

NAME = "saved_model"
NOTHING = Selection()
# Where nothing says which variables were trained.
UNTRAINED = ("moving_mean", "moving_variance", "ExponentialMovingAverage", "global_step")


def export_meta(request: GraphRequest, out: Path, *, selection: Selection = NOTHING) -> int:
    """Writes out/saved_model of a TF1 graph; returns how many variables it has. The checkpoint is the .meta's own."""
    meta = Path(request.source)
    if meta.suffix != ".meta" and not request.checkpoint:
        raise OptionError(f"--meta {meta}: its name does not say which checkpoint is its own. Give --checkpoint.")
    check_target(out, overwrite=False)
    request = replace(request, checkpoint=request.checkpoint or meta.with_suffix(""))
    return unfreeze(request, out / NAME, selection=selection)


def unfreeze(request: GraphRequest, out: Path, *, selection: Selection = NOTHING) -> int:
    """Writes a SavedModel tagged serve with the signature serving_default; returns how many variables it has.

    The input and output nodes' names are the signature's keys. selection: which variables become constants. It has
    `variables` and `trainable_variables` by the graph's own names, and the signature under its name in the source too.
    """
    import tensorflow as tf

    check_target(out, overwrite=False)
    source = request.open()
    trimmed = request.trim(source)
    graph, kept, renamed = trimmed.graph, trimmed.kept, trimmed.names
    nodes = edit.variables(graph)
    decide.check_references(graph, nodes)
    selection.check_names(nodes)
    values = source.values(list(nodes.values()))
    left = {name: node.op == "VarHandleOp" for name, node in nodes.items() if not selection.frozen(name)}
    shared = {name: nodes[name].attr["shared_name"].s.decode() for name in left}
    edit.freeze(graph, [name for name in nodes if name not in left])
    edit.keep(graph.node, lambda n: n.name not in left)
    for node in graph.node:
        node.input[:] = [i for i in node.input if not (i.startswith("^") and i[1:] in left)]
    edit.check_tables(graph)
    edit.fill(graph, values)
    edit.rename(graph, renamed)
    given = {trimmed.placed.get(i, edit.base(i)) for i in (*request.inputs, *source.inputs.values())}
    given = {renamed.get(name, name) for name in given}
    fed = [n.name for n in graph.node if n.op == "Placeholder" or (n.op in OPTIONAL and n.name in given)]
    specs = input_specs(graph, left, nodes, fed)
    variables = {}
    for name in left:
        value = values[name]
        trained = is_trained(source, {name, shared[name]}, value)
        variables[name] = tf.Variable(value, trainable=trained, name=name)

    def run(*tensors):
        mapped = {f"{name}:0": tensor for name, tensor in zip(fed, tensors, strict=True)}
        capture = tf.compat.v1.get_default_graph().capture
        mapped |= {f"{n}:0": capture(v.handle) if left[n] else v.read_value() for n, v in variables.items()}
        ends = [renamed.get(name, name) for name in kept]
        found = tf.graph_util.import_graph_def(graph, mapped, [f"{name}:0" for name in ends], name="")
        return {name: tf.identity(tensor) for name, tensor in zip(ends, found, strict=True)}

    # Not tf.function: it would add dependencies between a loop's inside and its outside.
    function = tf.compat.v1.wrap_function(run, specs)
    function._arg_keywords, function._num_positional_args = fed, int(len(fed) == 1)
    names = {DEFAULT_SIGNATURE, source.signature or DEFAULT_SIGNATURE}
    with staged(out, overwrite=False) as folder:
        saved_model.write(folder, dict.fromkeys(sorted(names), function), variables, inputs=fed)
    return len(left)


# Have a value when they are not fed.
OPTIONAL = ("PlaceholderWithDefault", "PlaceholderV2")


def input_specs(graph, left: Mapping[str, bool], nodes: Mapping, sources: Iterable[str]) -> list:
    """What the graph's inputs take, as an importer sees it: old graphs write unknown shapes as scalars."""
    import tensorflow as tf

    with tf.Graph().as_default() as whole:
        stand_ins = {}
        for name, resource in left.items():
            dtype = tf.resource if resource else tf.dtypes.as_dtype(nodes[name].attr["dtype"].type)
            stand_ins[f"{name}:0"] = tf.raw_ops.Placeholder(dtype=dtype, name=f"stand_in/{name}")
        tf.graph_util.import_graph_def(graph, stand_ins, name="")
        tensors = [whole.get_tensor_by_name(f"{name}:0") for name in sources]
    return [tf.TensorSpec(t.shape, t.dtype, t.op.name) for t in tensors]


def is_trained(source, names: set[str], value) -> bool:
    if source.trainable is not None:
        return bool(names & source.trainable)
    return value.dtype.kind == "f" and not any(name.endswith(UNTRAINED) for name in names)
