"""A SavedModel that TensorFlow wrote, made smaller and the same bytes each time."""

import uuid
from pathlib import Path

from visionport.graph import calls, edit


def slim(path: Path) -> None:
    """Drops what no loader needs: half of the nodes, and with them half of the time that loading takes.

    TensorFlow saves and restores variables in two functions that Python builds on loading and never calls. They go
    into the main graph, where TensorFlow Serving and the C++ loader call them: without the three extra nodes a variable
    that they had. The main graph's own unused reads go, and the shapes of all outputs, which loading infers again.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (meta,) = saved.meta_graphs
    graph = meta.graph_def
    used = {edit.base(i) for node in graph.node for i in node.input}
    edit.keep(graph.node, lambda n: n.op != "ReadVariableOp" or n.name in used)
    functions = {f.signature.name: f for f in graph.library.function}
    dead: set[str] = set()
    saver = (edit.base(meta.saver_def.save_tensor_name), meta.saver_def.restore_op_name)
    for node in [n for n in graph.node if n.name in saver]:
        dead.add(node.attr["f"].func.name)
        function = functions[node.attr["f"].func.name]
        bypass(function)
        inline(graph, node, function)
    for wrapper in graph.library.function:
        if wrapper.signature.name.startswith("__inference_signature_wrapper"):
            dead |= unwrap(wrapper, functions)
    edit.keep(graph.library.function, lambda f: f.signature.name not in dead)
    for node in (*graph.node, *(n for f in graph.library.function for n in f.node_def)):
        node.attr.pop("_output_shapes", None)
        node.attr.pop("debug_name", None)
    path.write_bytes(saved.SerializeToString(deterministic=True))


def unwrap(wrapper, functions) -> set[str]:
    """Makes a signature's wrapper the very function it calls with its own arguments; the name of that function."""
    (call,) = (n for n in wrapper.node_def if n.op in ("StatefulPartitionedCall", "PartitionedCall"))
    called = functions[call.attr["f"].func.name]
    through = {n.name: n.input[0] for n in wrapper.node_def if n.op == "Identity"}
    outputs = [through.get(edit.base(wrapper.ret[a.name])) for a in wrapper.signature.output_arg]
    same = outputs == [f"{call.name}:output:{i}" for i in range(len(called.signature.output_arg))]
    if not same or list(call.input) != [a.name for a in wrapper.signature.input_arg]:
        return set()
    name = wrapper.signature.name
    wrapper.CopyFrom(called)
    wrapper.signature.name = name
    return {called.signature.name}


def bypass(function) -> None:
    """Takes Identity and DisableCopyOnRead nodes out of a function of straight-line code."""
    source = {f"{n.name}:output:0": n.input[0] for n in function.node_def if n.op == "Identity"}
    gone = {n.name for n in function.node_def if n.op in ("Identity", "DisableCopyOnRead")}
    gone -= {edit.base(v) for v in function.ret.values()}

    def resolve(name: str) -> str:
        while name in source and edit.base(name) in gone:
            name = source[name]
        return name

    for node in function.node_def:
        inputs = [resolve(i) for i in node.input if not (i.startswith("^") and i[1:] in gone)]
        del node.input[:]
        node.input.extend(inputs)
    edit.keep(function.node_def, lambda n: n.name not in gone)
    for key in [k for k, name in function.control_ret.items() if name in gone]:
        del function.control_ret[key]


def inline(graph, call, function) -> None:
    """Puts the body of a function of one output in place of a call, which stays as the Identity of that output."""
    (result,), controls = calls.body(graph, call, function)
    call.op = "Identity"
    call.attr.clear()
    call.attr["T"].type = function.signature.output_arg[0].type
    call.input[:] = [result, *sorted(controls)]


def name_by_content(path: Path) -> None:
    """The same bytes for the same model: TensorFlow puts a random uuid into the fingerprint."""
    from tensorflow.core.protobuf import fingerprint_pb2

    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = ""
    fingerprint.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, fingerprint.SerializeToString(deterministic=True).hex()))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
