"""Edits of any GraphDef: functions inlined, variables made constants, inputs cut, nodes of training gone.

A graph here is a GraphDef that these functions change in place, or return anew where TensorFlow's optimizer made it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from visionport.errors import InputError, OptionError, UnsupportedError, nearest
from visionport.graph import calls as graph_calls

VARIABLES = ("VariableV2", "Variable", "VarHandleOp")
CALLS = graph_calls.CALLS
BRANCHES = ("If", "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase")
# v1 control flow, through which a variable's handle may pass
PASSES = ("Identity", "Enter", "Exit", "Switch", "Merge", "NextIteration")
REFS = {f"Ref{op}": op for op in PASSES}
FILLS = ("InitializeTable", "InitializeTableV2", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
FILLS += ("LookupTableImport", "LookupTableImportV2")
TABLES = ("HashTable", "HashTableV2", "MutableHashTable", "MutableHashTableV2", "AnonymousHashTable")
BY_NAME: set[str] = set()  # ops that register.py made known in this process, whose kernels do nothing but fail
MOST = 2**31 - 1  # bytes of a protobuf message


def base(name: str) -> str:
    """The node of an input: "^a" and "a:1" are of "a"."""
    return name.removeprefix("^").partition(":")[0]


def full_name(name: str) -> str:
    """A tensor's name with its output: "a" is "a:0"."""
    return name if ":" in name else f"{name}:0"


def known(graph, names: Iterable[str], what: str) -> None:
    """Raises OptionError for a name that is no node of the graph."""
    nodes = {n.name for n in graph.node}
    for name in names:
        if base(name) not in nodes:
            raise OptionError(f"{what} {name!r}: no such node among {len(nodes)}{nearest(base(name), nodes)}.")


def keep(nodes, wanted) -> None:
    """Drops the nodes (or functions) of a repeated field that are not wanted."""
    kept = [n for n in nodes if wanted(n)]
    del nodes[:]
    nodes.extend(kept)


def needed(graph, kept: Iterable[str]) -> None:
    """Drops every node that none of `kept` needs."""
    nodes = {n.name: n for n in graph.node}
    queue = list(dict.fromkeys(kept))
    found = set(queue)
    for name in queue:  # grows while it is walked
        for source in map(base, nodes[name].input):
            if source not in found:
                found.add(source)
                queue.append(source)
    keep(graph.node, lambda n: n.name in found)


def prune(graph, kept) -> None:
    """Drops what none of the nodes `kept` needs, and the Identity through which each weight was read."""
    nodes = {n.name: n for n in graph.node}
    controls = {i[1:] for n in graph.node for i in n.input if i[0] == "^"}
    plain = {
        n.name: n.input[0].removesuffix(":0")
        for n in graph.node
        if n.op == "Identity" and n.name not in controls and n.name not in kept and len(n.input) == 1
    }

    def source(name: str) -> str:
        end = name.removesuffix(":0")
        while end in plain:
            end = plain[end]
        return end if end in nodes and nodes[end].op == "Const" else name

    for node in graph.node:
        node.input[:] = [source(i) for i in node.input]
    needed(graph, kept)
    left = sorted(graph.node, key=lambda n: n.name)
    names = {n.name for n in left}
    for node in left:
        node.attr.pop("_has_manual_control_dependencies", None)
        _place(node, lambda place: place if place in names else None)
    del graph.node[:]
    graph.node.extend(left)


def rename(graph, names: dict[str, str]) -> None:
    """Gives nodes other names, and those that have one of these names already yet another."""
    taken = set(names.values())
    names = names | {n.name: f"{n.name}_" for n in graph.node if n.name in taken and n.name not in names}
    for node in graph.node:
        node.name = names.get(node.name, node.name)
        node.input[:] = [_renamed(i, names) for i in node.input]
        node.attr.pop("_output_shapes", None)
        _place(node, lambda place: names.get(place, place))


def _place(node, renamed: Callable[[str], str | None]) -> None:
    """Gives the nodes beside which a node stands other names; those that are None are gone."""
    if "_class" in node.attr:
        places = [renamed(p.decode().removeprefix("loc:@")) for p in node.attr["_class"].list.s]
        node.attr["_class"].list.s[:] = [f"loc:@{p}".encode() for p in places if p is not None]
        if not node.attr["_class"].list.s:
            del node.attr["_class"]


def _renamed(name: str, names: dict[str, str]) -> str:
    node = base(name)
    return name.replace(node, names[node], 1) if node in names else name


def cut(graph, tensors: Iterable[str]) -> dict[str, str]:
    """Makes placeholders of tensors, as NODE or NODE:OUTPUT; {tensor: its placeholder}.

    The first output's placeholder has the node's name.
    """
    nodes = {n.name: n for n in graph.node}
    placed = {t: base(t) for t in tensors}
    given = [t for t in placed if not nodes[base(t)].op.startswith("Placeholder")]
    found = import_tensors(graph, given)
    for name in dict.fromkeys(map(base, given)):
        wanted = {t: v for t, v in found.items() if v.op.name == name}
        _cut_node(graph, nodes, nodes[name], wanted, placed)
    return placed


def _cut_node(graph, nodes: dict[str, Any], node, wanted: Mapping[str, Any], placed: dict[str, str]) -> None:
    """Puts placeholders in place of some outputs of a node, which stays where others are used."""
    name, cut_ = node.name, {v.name for v in wanted.values()}
    stays = any(base(i) == name and full_name(i) not in cut_ for n in graph.node for i in n.input)
    if stays and f"{name}:0" in cut_:
        node.name = _free_name(f"{name}_cut", nodes)
        nodes[node.name] = node
    moved = {
        full: name if full == f"{name}:0" else _free_name(f"{name}_{full.rpartition(':')[2]}", nodes) for full in cut_
    }
    for reader in graph.node if stays or len(moved) > 1 or f"{name}:0" not in moved else ():
        reader.input[:] = [
            moved[full_name(i)] if i[0] != "^" and full_name(i) in moved else _renamed(i, {name: node.name})
            for i in reader.input
        ]
    if not stays:
        graph.node.remove(node)
    for tensor, value in wanted.items():
        placed[tensor] = moved[value.name]
        made = graph.node.add(name=placed[tensor], op="Placeholder")
        made.attr["dtype"].type = value.dtype.base_dtype.as_datatype_enum
        made.attr["shape"].shape.CopyFrom(value.shape.as_proto())
        nodes[made.name] = made


def _free_name(name: str, taken) -> str:
    while name in taken:
        name += "_"
    return name


def import_tensors(graph, tensors: Iterable[str]) -> dict[str, Any]:
    """{tensor: as TensorFlow imports it}, of NODE or NODE:OUTPUT. Raises for what is none, or needs an unknown op."""
    import tensorflow as tf

    from visionport.graph import effects

    wanted = list(tensors)
    if not wanted:
        return {}
    part = part_of(graph, map(base, wanted))
    check_known_ops(part)
    effects.set_aside_evaluated(part)
    with tf.Graph().as_default() as imported:
        import_graph(part)
    found = {}
    for tensor in wanted:
        outputs = imported.get_operation_by_name(base(tensor)).outputs
        index = int(full_name(tensor).partition(":")[2])
        if index >= len(outputs):
            raise OptionError(f"{tensor} is none of the {len(outputs)} outputs of {base(tensor)}.")
        found[tensor] = outputs[index]
    return found


def import_graph(graph) -> None:
    """Imports a GraphDef into TensorFlow's graph of now. Raises InputError where it does not take it."""
    import tensorflow as tf

    try:
        tf.compat.v1.import_graph_def(graph, name="")
    except Exception as e:  # whatever TensorFlow makes of a stranger's graph
        raise InputError(f"TensorFlow does not take the graph: {first_line(e)}.") from None


def first_line(error: Exception) -> str:
    """Of what TensorFlow says, which may be pages."""
    return next((s.strip()[:300] for s in str(error).splitlines() if s.strip()), type(error).__name__).rstrip(".")


def part_of(graph, kept: Iterable[str]):
    """A copy of what the nodes `kept` need, with the functions."""
    part = type(graph)(versions=graph.versions, library=graph.library)
    part.node.extend(graph.node)
    needed(part, kept)
    return part


def unknown_ops(graph) -> dict[str, str]:
    """{node: op} of ops that TensorFlow does not know."""
    from tensorflow.python.framework import op_def_registry

    functions_ = {f.signature.name for f in graph.library.function}
    return {n.name: n.op for n in graph.node if n.op not in functions_ and op_def_registry.get(n.op) is None}


def unrunnable_ops(graph) -> dict[str, str]:
    """{node: op} of ops that TensorFlow does not run here: those that it does not know, or has only by name."""
    from tensorflow.python.framework import kernels

    ops = {n.op for n in graph.node}
    found = {op for op in ops if op in BY_NAME or not kernels.get_registered_kernels_for_op(op).kernel}
    called = {f.signature.name for f in graph.library.function}
    return {n.name: n.op for n in graph.node if n.op in found - called}


def check_known_ops(graph) -> None:
    """Raises UnsupportedError for an op that TensorFlow does not know."""
    for node, op in unknown_ops(graph).items():
        raise UnsupportedError(
            f"{node} is of an op that TensorFlow does not know, {op}. Name outputs before it, or load the library that "
            "defines it."
        )


def inline(graph, kept: Iterable[str], *, lower: bool = True):
    """The graph with function calls, and where `lower` v2 control flow, replaced by what they do, as v1 has it."""
    if not graph.library.function:
        return graph
    for nodes in (graph.node, *(f.node_def for f in graph.library.function)):
        for node in nodes:
            if node.op in BRANCHES:
                node.attr["_lower_using_switch_merge"].b = lower
    for function in graph.library.function:
        for name in ("api_implements", "_noinline", "_XlaMustCompile"):
            function.attr.pop(name, None)
    graph = optimized(graph, kept, ["function"])
    graph_calls.inline(graph)  # those that the optimizer leaves: functions with v1 control flow
    left = sorted({n.op for n in graph.node if n.op in (*CALLS, *(BRANCHES if lower else ()))})
    if left:
        raise UnsupportedError(f"the graph has calls that cannot be inlined: {', '.join(left)}.")
    used = functions(graph)
    keep(graph.library.function, lambda f: f.signature.name in used)
    return graph


def functions(graph) -> set[str]:
    """The functions that the nodes of the graph call, and those that they call."""
    bodies = {f.signature.name: f.node_def for f in graph.library.function}
    found: set[str] = set()
    left = list(graph.node)
    while left:
        node = left.pop()
        names = {node.op, *(f.name for a in node.attr.values() for f in (a.func, *a.list.func))}
        for name in (names & bodies.keys()) - found:
            found.add(name)
            left += bodies[name]
    return found


OPTIMIZERS = ("constfold", "arithmetic", "dependency", "pruning")


def optimized(graph, kept: Iterable[str], optimizers: Iterable[str] = OPTIMIZERS):
    """The graph after TensorFlow's own optimizers, none of which makes ops that only TensorFlow knows.

    Constants are not folded where that would run ops with effects outside, even those that are allowed.
    """
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
    from tensorflow.python.grappler import tf_optimizer

    from visionport.graph import effects

    if any(map(effects.effect_of, graph.node)):
        optimizers = [name for name in optimizers if name != "constfold"]

    meta = meta_graph_pb2.MetaGraphDef()
    meta.graph_def.CopyFrom(graph)
    meta.collection_def["train_op"].node_list.value.extend(f"{n}:0" for n in kept)
    config = config_pb2.ConfigProto()
    rewrite = config.graph_options.rewrite_options
    rewrite.min_graph_nodes = -1
    rewrite.meta_optimizer_iterations = 1
    rewrite.optimizers.extend(optimizers)
    # A frozen graph has no side effects to keep, without which a call of variables is not inlined.
    rewrite.function_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    try:
        return tf_optimizer.OptimizeGraph(config, meta)
    except Exception as e:  # whatever TensorFlow makes of a stranger's graph
        raise InputError(f"TensorFlow does not take the graph: {first_line(e)}.") from None


def variables(graph) -> dict[str, Any]:
    """Name -> node of each variable in the main graph."""
    return {n.name: n for n in graph.node if n.op in VARIABLES}


def freeze(graph, names: Iterable[str]) -> None:
    """Puts constants, yet without values, in place of variables, and follows their handles to where they are read."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(base(name), []).append(node)
    found = variables(graph)
    for name in names:
        node = found[name]
        dtype = node.attr["dtype"].type
        handle = node.op == "VarHandleOp"
        node.Clear()
        node.name, node.op = name, "Const"
        node.attr["dtype"].type = dtype
        if handle:
            _follow(graph, name, dtype, readers)
    for node in graph.node:
        node.op = REFS.get(node.op, node.op)
        node.attr.pop("_class", None)  # a place beside a variable that is gone


def fill(graph, values: Mapping[str, Any]) -> None:
    """Gives the constants that `freeze` made their values, as late as can be: copies of a node hold its value too.

    values: node name -> array; each is read once.
    """
    import tensorflow as tf

    size = 0
    for node in graph.node:
        if node.op == "Const" and not node.attr["value"].HasField("tensor"):
            value = values[node.name]
            size += value.nbytes
            if size > MOST:
                raise UnsupportedError("over 2 GB of weights: more than a GraphDef can hold. Keep a SavedModel.")
            made = tf.make_tensor_proto(value)
            tensor = node.attr["value"].tensor
            tensor.MergeFrom(made)


def _follow(graph, name: str, dtype: int, readers) -> None:
    """From a variable that has become a constant to every node that took its handle."""
    import tensorflow as tf

    from visionport.graph import decide

    resource = tf.resource.as_datatype_enum
    for node in readers.get(name, ()):
        if all(i.startswith("^") for i in node.input if base(i) == name):
            continue
        if node.op == "ReadVariableOp":
            node.op = "Identity"
            _attributes(node, T=dtype)
        elif node.op in PASSES and node.attr["T"].type == resource:
            node.attr["T"].type = dtype
            _follow(graph, node.name, dtype, readers)
        elif node.op == "ResourceGatherNd":
            node.op = "GatherNd"
            _attributes(node, Tparams=dtype, Tindices=node.attr["Tindices"].type)
        elif node.op == "ResourceGather":
            batch, indices = node.attr["batch_dims"].i, node.attr["Tindices"].type
            axis = graph.node.add(name=f"{node.name}/axis", op="Const")
            axis.attr["dtype"].type = tf.int32.as_datatype_enum
            axis.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(batch, tf.int32))
            node.op = "GatherV2"
            node.input.append(axis.name)
            _attributes(node, Tparams=dtype, Tindices=indices, Taxis=tf.int32.as_datatype_enum)
            node.attr["batch_dims"].i = batch
        elif node.op not in ("Identity", "Const"):
            raise UnsupportedError(
                f"{node.name} ({node.op}) changes or tests the variable {name}, which cannot be a constant then. "
                f"Name outputs that do not need it.{decide.advise_constants(graph)}"
            )


def _attributes(node, **types: int) -> None:
    node.attr.clear()
    for name, value in types.items():
        node.attr[name].type = value


def finish(graph, kept: list[str], names: Mapping[str, str], values: Mapping[str, Any], *, clear_devices=True) -> None:
    """Drops what is not needed, fills constants, renames, and refuses what a loader of constants cannot run."""
    prune(graph, kept)
    check_tables(graph)
    fill(graph, values)
    rename(graph, dict(names))
    for node in graph.node:
        node.attr.pop("_output_shapes", None)
        if clear_devices:
            node.device = ""


def check_tables(graph) -> None:
    """Raises UnsupportedError for a lookup table that no node of the graph fills."""
    filled = {base(n.input[0]) for n in graph.node if n.op in FILLS}
    tables = [n.name for n in graph.node if n.op in TABLES and n.name not in filled]
    if tables:
        raise UnsupportedError(
            f"lookup tables cannot become constants: {', '.join(tables)}. Name outputs before them; or the node that "
            "fills them as another output, to be run first; or keep the SavedModel, which fills them on loading."
        )
