"""What lies between the chosen inputs and outputs of a model: a graph of constants, then a traced function."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionport.conversion.inputs import Given, Pixels
from visionport.conversion.sources import Model, check_unchanged
from visionport.errors import InputError, OptionError, UnsupportedError
from visionport.graph import decide, edit, growth, register
from visionport.graph.freeze import trim_graph
from visionport.tflite.checks import first_line, is_known_op

# Ops of lists, and which of their inputs is the shape of a row.
ROWS = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListStack": 1, "TensorListGetItem": 2}


@dataclass(frozen=True, kw_only=True)
class Network:
    """A graph of constants: its inputs as they will be, its outputs as (key, tensor).

    pixels: what the file does to its input before the graph; None where that is the graph's own.
    """

    graph: Any
    inputs: tuple[Given, ...]
    outputs: tuple[tuple[str, str], ...]
    pixels: Pixels | None = None


def freeze_network(model: Model, request) -> Network:
    """Raises OptionError where inputs, outputs or shapes do not fit the graph."""
    source = model.source
    copy = type(source.graph)()
    copy.CopyFrom(source.graph)
    cut = list(source.inputs.values()) if request.input_arrays else []
    # Loops and branches as TF2 has them: the converter cannot follow all of those that they could be made.
    trimmed = trim_graph(dataclasses.replace(source, graph=copy), inputs=cut, constants=model.constants, lower=False)
    graph, kept = trimmed.graph, trimmed.kept
    know_ops(graph, model, request)
    refuse_tables(graph, model)
    refuse_lists(graph, model)
    variables = edit.variables(graph)
    decide.check_references(graph, variables)
    values = source.values(list(variables.values()))
    if any(n.op in edit.BRANCHES for n in graph.node):
        graph = freeze_bodies(graph, {name: values[name] for name in variables})
    edit.freeze(graph, list(edit.variables(graph)))
    edit.finish(graph, kept, {}, values)
    growth.check_growth(source.path, graph)  # again: variables are constants now
    drop_orders(graph)
    edit.needed(graph, kept)
    called = edit.functions(graph)
    edit.keep(graph.library.function, lambda f: f.signature.name in called)
    cast_before_resizing(graph)
    placed = {n.name: n for n in graph.node if n.op.startswith("Placeholder")}
    wanted = {trimmed.placed.get(t, edit.base(t)): key for key, t in source.inputs.items()}
    strange = [n for n in placed if n not in wanted]
    if strange and source.inputs:
        raise OptionError(
            f"{model.name}: the outputs need {', '.join(strange)} too, which is no input. Add it to "
            f"--input-arrays, or fix it: --set {strange[0]}=VALUE."
        )
    wanted = {n: key for n, key in wanted.items() if n in placed} or {n: n for n in placed}
    if not wanted:
        raise OptionError(f"{model.name}: the outputs depend on no input; name others with --output-arrays.")
    inputs = tuple(Given.of(placed[n], key, request.shapes, len(wanted)) for n, key in wanted.items())
    unused = set(request.shapes) - {"", *(g.key for g in inputs), *(g.node for g in inputs)}
    if unused or ("" in request.shapes and len(inputs) > 1):
        names = ", ".join(g.key for g in inputs)
        raise OptionError(f"--input-shape: name one of the inputs, {names}: --input-shape {inputs[0].key}=1,...")
    outputs = tuple(zip(source.outputs, (f"{k}:0" for k in kept), strict=True))
    fix_rows(graph, {g.shape[0] if g.shape else None for g in inputs})
    rename_functions(graph)
    return Network(graph=graph, inputs=inputs, outputs=outputs, pixels=Pixels.of(inputs, request))


def know_ops(graph, model: Model, request) -> None:
    """Makes ops known to TensorFlow that it does not know; raises UnsupportedError where they are not allowed."""
    unknown = edit.unknown_ops(graph)
    refused = {op for op in unknown.values() if not request.custom_ops and not is_known_op(op)}
    if refused:
        ops = ", ".join(sorted(refused))
        raise UnsupportedError(
            f"{model.name}: the outputs need {ops}, which neither TensorFlow nor LiteRT knows. Name outputs before "
            "that, or keep it with --allow-custom-ops; the runtime then needs its kernel."
        )
    if unknown:
        register.register_ops(graph, unknown)


def freeze_bodies(graph, values: Mapping[str, Any]):
    """The graph with its variables as constants, in the functions of its loops and branches too."""
    from tensorflow.python.framework import convert_to_constants

    bodies = [n for f in graph.library.function for n in f.node_def]
    check_unchanged([*graph.node, *bodies])
    data = convert_to_constants._ConverterData(graph)
    for node in edit.variables(graph).values():
        kind = node.attr["dtype"].type
        data.tensor_data[node.name] = convert_to_constants._TensorData(values[node.name], kind, None)
    made, _ = convert_to_constants._replace_variables_by_constants(data)
    return made


def refuse_tables(graph, model: Model) -> None:
    """Raises UnsupportedError for a lookup table."""
    tables = [n.name for n in graph.node if n.op in edit.TABLES]
    if tables:
        raise UnsupportedError(
            f"{model.name}: a TFLite file holds no lookup tables ({', '.join(tables)}). Feed what they give with "
            "--input-arrays, or name outputs before them."
        )


def refuse_lists(graph, model: Model) -> None:
    """Raises UnsupportedError for lists of what are no numbers: TensorFlow's converter ends the process for them."""
    import tensorflow as tf

    for node in (*graph.node, *(n for f in graph.library.function for n in f.node_def)):
        kind = tf.dtypes.as_dtype(node.attr["element_dtype"].type or 1) if node.op in LISTS else tf.float32
        if not (kind.is_floating or kind.is_integer or kind.is_bool):
            raise UnsupportedError(
                f"{model.name}: {node.name} ({node.op}) lists values of {kind.name}, which TFLite does not hold. Name "
                "inputs behind or outputs before it."
            )


LISTS = ("TensorListReserve", "EmptyTensorList")


def drop_orders(graph) -> None:
    """Constants have no side effects to keep in order, and the converter cannot follow such orders out of loops."""
    orders = {n.name: [i for i in n.input if i.startswith("^")] for n in graph.node if n.op == "NoOp"}

    def resolve(order: str) -> list[str]:
        """The operations behind a NoOp that stands for them."""
        return [end for one in orders[order[1:]] for end in resolve(one)] if order[1:] in orders else [order]

    for node in graph.node:
        if node.op == "Const":  # those of a loop lie in it by such an order
            node.input[:] = list(dict.fromkeys(end for order in node.input for end in resolve(order)))
    for node in graph.node:
        if node.op != "Const":
            node.input[:] = [i for i in node.input if not i.startswith("^")]


def cast_before_resizing(graph) -> None:
    """Pixels become floats before they are resized: LiteRT's bilinear op takes none, and TensorFlow's gives floats."""
    import tensorflow as tf

    floats, pixels = tf.float32.as_datatype_enum, tf.uint8.as_datatype_enum
    for node in [n for n in graph.node if n.op == "ResizeBilinear" and n.attr["T"].type == pixels]:
        cast = graph.node.add(name=f"{node.name}/floats", op="Cast", input=[node.input[0]])
        cast.attr["SrcT"].type, cast.attr["DstT"].type = pixels, floats
        node.input[0], node.attr["T"].type = cast.name, floats


def fix_rows(graph, sizes: set[int | None]) -> None:
    """What a loop collects has rows of the batch, which was open when it was traced, and LiteRT's lists ask for."""
    import tensorflow as tf

    if len(sizes) != 1 or None in sizes:
        return
    for nodes in (graph.node, *(f.node_def for f in graph.library.function)):
        constants = {n.name: n for n in nodes if n.op == "Const"}
        for node in (n for n in nodes if n.op in ROWS):
            shape = constants.get(edit.base(node.input[ROWS[node.op]]))
            value = tf.make_ndarray(shape.attr["value"].tensor) if shape else np.zeros(0)
            if shape and value.ndim and value.size and value[0] == -1 and (value[1:] > 0).all():
                value = np.array([*sizes, *value[1:]], value.dtype)
                shape.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))


def rename_functions(graph) -> None:
    """Functions get names by their content: those of the user's program may be in TensorFlow's memory already."""
    library = graph.library
    data = hashlib.sha256(library.SerializeToString(deterministic=True)).hexdigest()[:12]
    names = {f.signature.name: f"{f.signature.name}_{data}" for f in library.function}
    del library.gradient[:]
    for function in library.function:
        function.signature.name = names[function.signature.name]
    for node in (*graph.node, *(n for f in library.function for n in f.node_def)):
        node.op = names.get(node.op, node.op)
        for called in (f for a in node.attr.values() for f in (a.func, *a.list.func) if f.name):
            called.name = names.get(called.name, called.name)


def trace_network(network: Network):
    """A concrete function of the inputs, in their order; its outputs are a list."""
    import tensorflow as tf

    def run(*values):
        if network.pixels:
            values = [network.pixels.normalized(v) for v in values]
        given = {f"{g.node}:0": v for g, v in zip(network.inputs, values, strict=True)}
        found = tf.graph_util.import_graph_def(
            network.graph, input_map=given, return_elements=[t for _, t in network.outputs], name=""
        )
        return [tf.identity(v) for v in found]

    types = [network.pixels.dtype if network.pixels else g.dtype for g in network.inputs]
    specs = [
        tf.TensorSpec(g.shape, dtype, name=f"input_{i}")
        for i, (g, dtype) in enumerate(zip(network.inputs, types, strict=True))
    ]
    try:
        # Not tf.function, which keeps parts of TF1's loops in order with what is outside of them.
        function = tf.compat.v1.wrap_function(run, specs)
    except Exception as e:  # whatever TensorFlow makes of a stranger's graph
        shapes = ", ".join(f"{g.key} {list(g.spec)}" for g in network.inputs)
        raise OptionError(f"the graph does not take {shapes}: {first_line(e)}. See --input-shape.") from None
    check_sizes(function)
    return function


MOST = 1 << 31  # elements of a tensor: 8 GB of floats


def check_sizes(function) -> None:
    """Raises InputError for a tensor that no machine of ours holds: the file is run beside its source."""
    for op in function.graph.get_operations():
        for tensor in op.outputs:
            count = tensor.shape.num_elements() or 0
            if count > MOST:
                raise InputError(
                    f"{op.name} ({op.type}) makes a tensor of {count} elements, more than any model needs."
                )
