"""A concrete function becomes a graph of constants with names of its own."""

from visionport.graph import edit


def freeze_function(function, inputs: dict[str, str], *, lower: bool = True):
    """A GraphDef without variables and calls.

    lower: without functions too, branches being nodes that switch; otherwise a branch is a function of the library.
    function: a concrete function with a dict of outputs, each of which becomes a node of its key's name. inputs: names
    of its arguments -> names of the placeholders.
    """
    from tensorflow.python.framework import convert_to_constants

    # The halves of convert_variables_to_constants_v2, without its end: a function of the graph, and with it four copies
    # of the weights.
    data = convert_to_constants._FunctionConverterDataInEager(
        func=function, lower_control_flow=lower, aggressive_inlining=not lower
    )
    graph, variables = convert_to_constants._replace_variables_by_constants(data)
    del data
    if lower:
        del graph.library.function[:]
    captured = {id(t) for i, t in enumerate(function.graph.internal_captures) if i in variables}
    sources = [t.op.name for t in function.inputs if id(t) not in captured]
    edit.prune(graph, [*sources, *(t.op.name for t in function.outputs)])
    edit.rename(graph, node_names(function, sources, inputs))
    return graph


def node_names(function, sources, inputs: dict[str, str], keys=None) -> dict[str, str]:
    """Node -> the name it is to have, for a function's inputs and outputs; these are flattened in their keys' order."""
    keys = sorted(function.structured_outputs) if keys is None else keys
    outputs = {t.op.name: key for t, key in zip(function.outputs, keys, strict=True)}
    return {name: inputs[name] for name in sources} | outputs
