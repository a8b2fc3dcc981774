"""Calls of functions in a GraphDef, replaced by the functions' own nodes.

TensorFlow's optimizer inlines most calls; it leaves functions that hold v1 control flow.
"""

CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def inline(graph) -> None:
    """Puts the bodies of functions in place of their calls in the main graph, until there are none."""
    functions = {f.signature.name: f for f in graph.library.function}
    while calls := [n for n in graph.node if n.op in CALLS and n.attr["f"].func.name in functions]:
        results = {}
        for call in calls:
            results[call.name] = body(graph, call, functions[call.attr["f"].func.name])
        kept = [n for n in graph.node if n.name not in results]
        for node in kept:
            node.input[:] = [i for given in node.input for i in replaced(given, results)]
        del graph.node[:]
        graph.node.extend(kept)


def body(graph, call, function) -> tuple[list[str], list[str]]:
    """Copies a function's nodes into the graph, under the call's name: (its outputs, the nodes that must run)."""
    data = [i for i in call.input if not i.startswith("^")]
    before = [i for i in call.input if i.startswith("^")]
    arguments = {a.name: i for a, i in zip(function.signature.input_arg, data, strict=True)}
    nodes = {n.name: n for n in function.node_def}

    def outer(name: str) -> str:
        if name.startswith("^"):
            return f"^{call.name}/{name[1:]}"
        if name in arguments:
            return arguments[name]
        node, output, index = name.split(":")
        return f"{call.name}/{node}:{position(nodes[node], output) + int(index)}"

    for node in function.node_def:
        copy = graph.node.add()
        copy.CopyFrom(node)
        copy.name = f"{call.name}/{node.name}"
        copy.input[:] = [outer(i) for i in node.input if i[1:] not in arguments] + (before if not node.input else [])
        copy.attr.pop("_class", None)
        if "frame_name" in copy.attr:  # of a loop
            copy.attr["frame_name"].s = f"{call.name}/{copy.attr['frame_name'].s.decode()}".encode()
    outputs = [outer(function.ret[a.name]) for a in function.signature.output_arg]
    return outputs, [f"^{call.name}/{n}" for n in function.control_ret.values()]


def position(node, output: str) -> int:
    """Of a node's output by name among all its outputs, by its op's definition."""
    from tensorflow.python.framework import op_def_registry

    count = 0
    definition = op_def_registry.get(node.op)
    for arg in definition.output_arg if definition else ():
        if arg.name == output:
            return count
        if arg.number_attr:
            count += node.attr[arg.number_attr].i
        elif arg.type_list_attr:
            count += len(node.attr[arg.type_list_attr].list.type)
        else:
            count += 1
    raise ValueError(f"{node.name} ({node.op}) has no output {output}")


def replaced(name: str, results) -> list[str]:
    """What stands for a node's input, where that is a call that is gone."""
    node, _, index = name.removeprefix("^").partition(":")
    if node not in results:
        return [name]
    outputs, controls = results[node]
    found = controls if name.startswith("^") else [outputs[int(index or 0)]]
    return [end for one in found for end in replaced(one, results)]  # one call may hand on another's output
