"""Whether a GraphDef is sound, before TensorFlow sees it: its importer trusts what it is given."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from visionport.errors import InputError
from visionport.graph.calls import CALLS
from visionport.graph.edit import base

# Bounds that no model of people's comes near, and what is beyond them.
ELEMENTS = 1 << 27  # of a constant that its bytes do not spell out, and of what is computed from constants alone
TOTAL = 1 << 28  # of all such constants together
OUTPUTS = 1 << 16  # of a node
RANK = 254  # TensorFlow's own
EXPANDED = 2_000_000  # nodes, with every call of a function replaced by its body
NESTED = 200  # functions that call each other
LARGEST = 2**63 - 1

BACK = ("NextIteration", "RefNextIteration")
KINDS = {
    "string": "s",
    "int": "i",
    "float": "f",
    "bool": "b",
    "type": "type",
    "shape": "shape",
    "tensor": "tensor",
    "func": "func",
}


class UnsoundError(Exception):
    """What is wrong, without the file's name."""


def check_graph(path: Path | str, graph) -> None:
    """Raises InputError for a GraphDef that TensorFlow must not see; says which node is wrong, and how."""
    try:
        examine_graph(graph)
    except UnsoundError as e:
        raise InputError(f"{path} is damaged: {e}.") from None


def check_meta_graph(path: Path | str, meta) -> None:
    """The same of a MetaGraphDef: its graph, and what its signatures, saver and objects say of it."""
    check_graph(path, meta.graph_def)
    try:
        examine_meta_graph(meta)
    except UnsoundError as e:
        raise InputError(f"{path} is damaged: {e}.") from None


# --- a graph ---


def examine_graph(graph) -> None:
    library = {f.signature.name: f for f in graph.library.function}
    if len(library) != len(graph.library.function):
        raise UnsoundError("two of its functions have the same name")
    budget = [TOTAL]
    for nodes, place in ((graph.node, ""), *((f.node_def, name) for name, f in library.items())):
        examine_names(nodes, place)
        for node in nodes:
            examine_node(node, library, place, budget)
    for name, function in library.items():
        examine_signature(function, library, name)
    for gradient in graph.library.gradient:
        if gradient.function_name not in library:
            raise UnsoundError(f"it has a gradient of {gradient.function_name!r}, which is no function of it")
    examine_edges(graph.node, library)
    for function in library.values():
        examine_body(function, library)
    examine_calls(graph, library)


def inside(function: str) -> str:
    return f" of the function {function}" if function else ""


def examine_names(nodes, place: str) -> None:
    seen = set()
    for node in nodes:
        if not NAME.fullmatch(node.name):
            raise UnsoundError(f"{node.name[:80]!r}{inside(place)} is no name of a node")
        if node.name in seen:
            raise UnsoundError(f"two nodes{inside(place)} are called {node.name}")
        if not node.op:
            raise UnsoundError(f"{node.name}{inside(place)} has no op")
        seen.add(node.name)


NAME = re.compile(r"[A-Za-z0-9_.>][A-Za-z0-9_.\\/>-]*")


def definition_of(op: str, library: Mapping[str, Any]):
    """An op's definition; a function's is its signature; None for an op that TensorFlow does not know."""
    from tensorflow.python.framework import op_def_registry

    return library[op].signature if op in library else op_def_registry.get(op)


NAMES = ("shared_name", "container", "frame_name", "_class")  # attributes that name something


def is_text(value: bytes) -> bool:
    try:
        return bool(value.decode()) or not value
    except UnicodeDecodeError:
        return False


def is_open(node) -> bool:
    """Does it take an attribute of the function that it lies in?"""
    return any(value.WhichOneof("value") == "placeholder" for value in node.attr.values())


def examine_node(node, library: Mapping[str, Any], place: str, budget: list[int]) -> None:
    where = f"{node.name} ({node.op}){inside(place)}"
    for name, value in node.attr.items():
        examine_value(value, library, f"{where}: {name}", budget)
        if name in NAMES and not all(map(is_text, (value.s, *value.list.s))):
            raise UnsoundError(f"{where}: {name} is no text")
    definition = definition_of(node.op, library)
    if definition is None or (place and is_open(node)):
        return
    given = {}
    for attr in definition.attr:
        if attr.name in node.attr:
            given[attr.name] = value = node.attr[attr.name]
            examine_kind(attr, value, where)
        elif attr.HasField("default_value"):
            given[attr.name] = attr.default_value
        elif node.op not in library:
            raise UnsoundError(f"{where} has no {attr.name!r}")
    data = [i for i in node.input if not i.startswith("^")]
    wanted = count_ends(definition.input_arg, given, where)
    if len(data) != wanted:
        raise UnsoundError(f"{where} has {len(data)} inputs instead of {wanted}")
    if count_ends(definition.output_arg, given, where) > OUTPUTS:
        raise UnsoundError(f"{where} has more than {OUTPUTS} outputs")
    if node.op == "Const":
        dtype, tensor = given["dtype"].type, given["value"].tensor
        if dtype != tensor.dtype:
            raise UnsoundError(f"{where} is of another type than its value")
    if node.op in CALLS:
        examine_call(node, library, where)
    if node.op in BRANCHES:
        examine_branches(node, library, where)


def examine_call(node, library: Mapping[str, Any], where: str) -> None:
    """A call's arguments and results are as many as the function's."""
    function = library.get(node.attr["f"].func.name)
    if function is None:
        raise UnsoundError(f"{where} calls {node.attr['f'].func.name!r}, which is no function of the graph")
    for name, ends in (("Tin", function.signature.input_arg), ("Tout", function.signature.output_arg)):
        types = list(node.attr[name].list.type)
        own = [a.type for a in ends]
        if len(types) != len(own) or any(a and a != t for a, t in zip(own, types, strict=True)):
            raise UnsoundError(f"{where} does not fit the function {function.signature.name} that it calls")


def examine_branches(node, library: Mapping[str, Any], where: str) -> None:
    """The functions of a branch or a loop take and give as many values as the node does."""
    for attr, taken, given in BRANCHES[node.op]:
        value = node.attr[attr]
        for named in value.list.func if value.WhichOneof("value") == "list" else [value.func]:
            function = library.get(named.name)
            wanted = [len(node.attr[name].list.type) if name else 1 for name in (taken, given)]
            if function is None:
                raise UnsoundError(f"{where} calls {named.name!r}, which is no function of the graph")
            if [len(function.signature.input_arg), len(function.signature.output_arg)] != wanted:
                raise UnsoundError(f"{where} does not fit the function {named.name} that it calls")


# Op -> (the attribute that names functions, those that list the types of what these take and give; "" for one value).
IF = (("then_branch", "Tin", "Tout"), ("else_branch", "Tin", "Tout"))
WHILE = (("cond", "T", ""), ("body", "T", "T"))
CASE = (("branches", "Tin", "Tout"),)
BRANCHES = {"If": IF, "While": WHILE, "Case": CASE}
BRANCHES |= {f"Stateless{op}": functions for op, functions in BRANCHES.items()}


def examine_kind(attr, value, where: str) -> None:
    """Whether an attribute's value is of the kind that the op asks for, and one that it allows."""
    kind, has = attr.type, value.WhichOneof("value")
    listed = kind.startswith("list(")
    wanted = "list" if listed else KINDS.get(kind, kind)
    if has != wanted and not (has is None and wanted in ("list", "shape")):
        raise UnsoundError(f"{where}: {attr.name} is {has or 'nothing'} where {kind} is asked for")
    if listed:
        inner = KINDS[kind[5:-1]]
        others = [f.name for f, _ in value.list.ListFields() if f.name != inner]
        if others:
            raise UnsoundError(f"{where}: {attr.name} lists {others[0]} where {kind} is asked for")
        count = len(getattr(value.list, inner))
        if attr.has_minimum and count < attr.minimum:
            raise UnsoundError(f"{where}: {attr.name} lists {count}, and at least {attr.minimum} are asked for")
    elif kind == "int" and attr.has_minimum and value.i < attr.minimum:
        raise UnsoundError(f"{where}: {attr.name} is {value.i}, and at least {attr.minimum} is asked for")
    if "func" in kind and not all(f.name for f in (value.list.func if listed else [value.func])):
        raise UnsoundError(f"{where}: {attr.name} names no function")
    types = value.list.type if listed else [value.type]
    if "type" in kind and 0 in types:
        raise UnsoundError(f"{where}: {attr.name} is 0, which is no type")
    allowed = attr.allowed_values.list
    if kind == "type" and allowed.type and value.type % REF not in allowed.type:
        raise UnsoundError(f"{where}: {attr.name} is {type_name(value.type)}, which the op does not take")
    if kind == "string" and allowed.s and value.s not in allowed.s:
        raise UnsoundError(f"{where}: {attr.name} is {value.s[:40]!r}, which the op does not take")


REF = 100  # added to a type for a reference to a variable


def count_ends(arguments, given: Mapping[str, Any], where: str) -> int:
    """How many tensors a node takes or gives."""
    count = 0
    for arg in arguments:
        if arg.number_attr:
            number = given[arg.number_attr].i if arg.number_attr in given else 0
            if not 0 <= number <= OUTPUTS:
                raise UnsoundError(f"{where}: {arg.number_attr} is {number}")
            count += number
        elif arg.type_list_attr:
            count += len(given[arg.type_list_attr].list.type) if arg.type_list_attr in given else 0
        else:
            count += 1
    return count


# --- attributes' values ---


def examine_value(value, library: Mapping[str, Any], where: str, budget: list[int]) -> None:
    """Types, shapes, tensors and functions in an attribute, whatever op it is of."""
    has = value.WhichOneof("value")
    if has == "type":
        examine_type(value.type, where)
    elif has == "shape":
        examine_shape(value.shape, where)
    elif has == "tensor":
        examine_tensor(value.tensor, where, budget)
    elif has == "func":
        examine_function(value.func, library, where, budget)
    elif has == "list":
        for kind in value.list.type:
            examine_type(kind, where)
        for shape in value.list.shape:
            examine_shape(shape, where)
        for tensor in value.list.tensor:
            examine_tensor(tensor, where, budget)
        for function in value.list.func:
            examine_function(function, library, where, budget)


def examine_function(function, library: Mapping[str, Any], where: str, budget: list[int]) -> None:
    if function.name and definition_of(function.name, library) is None:
        raise UnsoundError(f"{where} names {function.name!r}, which is no function of the graph")
    for name, value in function.attr.items():
        examine_value(value, library, f"{where}: {name}", budget)


def type_name(kind: int) -> str:
    from tensorflow.core.framework import types_pb2

    try:
        return types_pb2.DataType.Name(kind)
    except ValueError:
        return f"{kind}, which is no type"


def examine_type(kind: int, where: str) -> None:
    """0 is no type, yet lists of types that are not known have it."""
    from tensorflow.core.framework import types_pb2

    if kind not in types_pb2.DataType.values():
        raise UnsoundError(f"{where} is {kind}, which is no type")


def examine_shape(shape, where: str) -> int | None:
    """Its number of elements, None where that is open."""
    if shape.unknown_rank:
        if shape.dim:
            raise UnsoundError(f"{where} is a shape of unknown rank that has sizes")
        return None
    if len(shape.dim) > RANK:
        raise UnsoundError(f"{where} is a shape of {len(shape.dim)} dimensions, over {RANK}")
    count, is_open = 1, False
    for dim in shape.dim:
        if dim.size < -1:
            raise UnsoundError(f"{where} is a shape with the size {dim.size}")
        is_open |= dim.size == -1
        count *= max(dim.size, 1)
    if count > LARGEST:
        raise UnsoundError(f"{where} is a shape of more than 2^63 elements")
    return None if is_open else 0 if any(d.size == 0 for d in shape.dim) else count


# Types that files hold: (field of a TensorProto, values in it for an element, bytes of an element in tensor_content).
STORES = {
    **{f"DT_{kind}": ("int_val", 1, 4) for kind in ("INT32", "QINT32")},
    **{f"DT_{kind}": ("int_val", 1, 2) for kind in ("INT16", "UINT16", "QINT16", "QUINT16")},
    **{f"DT_{kind}": ("int_val", 1, 1) for kind in ("INT8", "UINT8", "QINT8", "QUINT8")},
    **{f"DT_{kind}": ("int_val", 1, 1) for kind in ("INT4", "UINT4", "INT2", "UINT2")},
    **{f"DT_FLOAT8_{kind}": ("float8_val", 1, 1) for kind in ("E5M2", "E4M3FN", "E4M3FNUZ", "E4M3B11FNUZ", "E5M2FNUZ")},
    "DT_FLOAT": ("float_val", 1, 4),
    "DT_DOUBLE": ("double_val", 1, 8),
    "DT_HALF": ("half_val", 1, 2),
    "DT_BFLOAT16": ("half_val", 1, 2),
    "DT_BOOL": ("bool_val", 1, 1),
    "DT_INT64": ("int64_val", 1, 8),
    "DT_UINT32": ("uint32_val", 1, 4),
    "DT_UINT64": ("uint64_val", 1, 8),
    "DT_COMPLEX64": ("scomplex_val", 2, 8),
    "DT_COMPLEX128": ("dcomplex_val", 2, 16),
    "DT_STRING": ("string_val", 1, 0),
}


def examine_tensor(tensor, where: str, budget: list[int] | None = None) -> None:
    """Whether a TensorProto's values fit its type and shape, and how many it stands for. budget: of TOTAL."""
    if not tensor.dtype and not tensor.ListFields():
        return  # none
    store = STORES.get(type_name(tensor.dtype))
    if store is None:
        raise UnsoundError(f"{where} is a constant of {type_name(tensor.dtype)}, which no file can hold")
    count = examine_shape(tensor.tensor_shape, where)
    if count is None:
        raise UnsoundError(f"{where} is a constant of an open shape")
    name, parts, size = store
    content = len(tensor.tensor_content)
    if content and not size:
        raise UnsoundError(f"{where} is a constant of {type_name(tensor.dtype)} in bytes")
    values = len(getattr(tensor, name))
    if content and content != count * size:
        raise UnsoundError(f"{where} has {content} bytes where its shape needs {count * size}")
    if not content and (values % parts or values > count * parts):
        raise UnsoundError(f"{where} has {values // parts} values where its shape has {count}")
    if not content and values < count * parts:  # the last value fills the rest
        if budget is not None:
            budget[0] -= count
        if count > ELEMENTS or (budget is not None and budget[0] < 0):
            raise UnsoundError(f"{where} stands for {count} values, of which it holds {values // parts}")


# --- edges ---


def examine_edges(nodes, library: Mapping[str, Any]) -> None:
    """Inputs of the main graph: they exist, control inputs are last, and there are no circles but loops."""
    outputs = {n.name: count_outputs(n, library) for n in nodes}
    for node in nodes:
        examine_order(node, "")
        for name in node.input:
            source, _, index = name.removeprefix("^").partition(":")
            if source not in outputs:
                raise UnsoundError(f"{node.name} ({node.op}) takes {name!r}, which is no node")
            count = outputs[source]
            if index and not re.fullmatch(r"\d{1,6}", index):
                raise UnsoundError(f"{node.name} ({node.op}) takes {name!r}, which is no tensor")
            if name[0] != "^" and count is not None and int(index or 0) >= count:
                raise UnsoundError(f"{node.name} ({node.op}) takes {name!r}, and {source} has {count} outputs")
    examine_circles(nodes, base, "")


def count_outputs(node, library: Mapping[str, Any]) -> int | None:
    definition = definition_of(node.op, library)
    return None if definition is None else count_ends(definition.output_arg, attributes(node, definition), node.name)


def attributes(node, definition) -> dict[str, Any]:
    """A node's attributes with the op's defaults."""
    return {
        a.name: node.attr.get(a.name, a.default_value)
        for a in definition.attr
        if a.name in node.attr or a.HasField("default_value")
    }


def examine_order(node, place: str) -> None:
    controls = False
    for name in node.input:
        if controls and not name.startswith("^"):
            raise UnsoundError(f"{node.name} ({node.op}){inside(place)} has data behind what orders it")
        if not name or name == "^":
            raise UnsoundError(f"{node.name} ({node.op}){inside(place)} has an input without a name")
        controls = name.startswith("^")


def examine_circles(nodes, source: Callable[[str], str], place: str) -> None:
    """Raises for a node that needs itself, but through what a loop hands on."""
    waiting = {}
    readers: dict[str, list[str]] = {}
    names = {n.name for n in nodes}
    for node in nodes:
        ends = {source(i) for i in node.input} & names if node.op not in BACK else set()
        waiting[node.name] = len(ends)
        for end in ends:
            readers.setdefault(end, []).append(node.name)
    ready = [name for name, count in waiting.items() if not count]
    for name in ready:  # grows while it is walked
        for reader in readers.get(name, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(ready) < len(waiting):
        stuck = next(name for name, count in waiting.items() if count)
        raise UnsoundError(f"{stuck}{inside(place)} is in a circle of nodes that need each other, or behind one")


# --- functions ---


def examine_signature(function, library: Mapping[str, Any], name: str) -> None:
    signature, where = function.signature, f"the function {name[:80]!r}"
    if not name:
        raise UnsoundError("one of its functions has no name")
    kinds = {a.name: a.type for a in signature.attr}
    arguments = [a.name for a in signature.input_arg]
    if len(set(arguments)) != len(arguments) or "" in arguments:
        raise UnsoundError(f"{where} has two arguments of one name, or one without")
    for arg in (*signature.input_arg, *signature.output_arg):
        examine_type(arg.type, f"{where}: {arg.name}")
        open_ = [a for a in (arg.type_attr, arg.number_attr, arg.type_list_attr) if a]
        if (not arg.type and not open_) or any(a not in kinds for a in open_):
            raise UnsoundError(f"{where}: {arg.name} has no type")
    for value in function.attr.values():
        examine_value(value, library, where, [TOTAL])
    for attrs in function.arg_attr.values():
        for value in attrs.attr.values():
            examine_value(value, library, where, [TOTAL])
    if any(not 0 <= i < len(arguments) for i in function.arg_attr):
        raise UnsoundError(f"{where} describes an argument that it does not have")
    missing = [a.name for a in signature.output_arg if a.name not in function.ret]
    if missing:
        raise UnsoundError(f"{where} does not say what its output {missing[0]!r} is")
    if surplus := sorted({*function.ret} - {a.name for a in signature.output_arg}):
        raise UnsoundError(f"{where} has no output {surplus[0]!r}, of which it says what it is")


def examine_body(function, library: Mapping[str, Any]) -> None:
    """Inputs in a function: an argument, NODE:OUTPUT:INDEX or ^NODE."""
    place = function.signature.name
    nodes = {n.name: n for n in function.node_def}
    arguments = {a.name for a in function.signature.input_arg}
    if both := arguments & nodes.keys():
        raise UnsoundError(f"the function {place} has an argument and a node called {min(both)}")
    ends: dict[str, dict[str, int] | None] = {}
    for node in function.node_def:
        definition = definition_of(node.op, library)
        known = definition is not None and not is_open(node)
        ends[node.name] = outputs_of(definition, attributes(node, definition), node.name) if known else None
    for node in function.node_def:
        examine_order(node, place)
        for name in node.input:
            if name.startswith("^"):
                if name[1:] not in nodes and name[1:] not in arguments:
                    raise UnsoundError(
                        f"{node.name} ({node.op}){inside(place)} waits for {name[1:]!r}, which is no node"
                    )
            else:
                examine_reference(name, ends, arguments, f"{node.name} ({node.op}){inside(place)} takes")
    for output, name in function.ret.items():
        examine_reference(name, ends, arguments, f"the output {output} of the function {place} is")
    for name in function.control_ret.values():
        if name not in nodes:
            raise UnsoundError(f"the function {place} waits for {name!r}, which is no node")
    examine_circles(function.node_def, base, place)


def outputs_of(definition, given: Mapping[str, Any], where: str) -> dict[str, int]:
    return {a.name: count_ends([a], given, where) for a in definition.output_arg}


def examine_reference(name: str, ends, arguments: set[str], said: str) -> None:
    if name in arguments:
        return
    node, *more = name.split(":")
    if node in arguments and more == ["0"]:
        return
    if node not in ends:
        raise UnsoundError(f"{said} {name!r}, which is no node or argument")
    outputs = ends[node]
    if outputs is None:
        return
    if len(more) != 2 or not re.fullmatch(r"\d{1,6}", more[1]) or int(more[1]) >= outputs.get(more[0], 0):
        raise UnsoundError(f"{said} {name!r}, which {node} does not give")


def examine_calls(graph, library: Mapping[str, Any]) -> None:
    """Raises for functions that call themselves, and for calls that grow without bound when they are replaced."""
    from visionport.graph.effects import called

    callees = {name: [c for n in f.node_def for c in called(n) if c in library] for name, f in library.items()}
    sizes: dict[str, tuple[int, int]] = {}  # nodes with all calls replaced, and how deep they are
    for start in library:
        left, above = [start], set()
        while left:
            name = left[-1]
            if name in sizes:
                above.discard(left.pop())
                continue
            waiting = [c for c in dict.fromkeys(callees[name]) if c not in sizes]
            above.add(name)
            if found := [c for c in waiting if c in above]:
                raise UnsoundError(f"its function {found[0]} calls itself, and does not end")
            if waiting:
                left += waiting
                continue
            inner = [sizes[c] for c in callees[name]]
            size = len(library[name].node_def) + sum(s for s, _ in inner)
            sizes[name] = size, 1 + max((d for _, d in inner), default=0)
    whole = len(graph.node) + sum(sizes[c][0] for n in graph.node for c in called(n) if c in library)
    deep = max((d for _, d in sizes.values()), default=0)
    if whole > EXPANDED or deep > NESTED:
        raise UnsoundError(f"with its functions in place of their calls it has {whole} nodes, {deep} functions deep")


# --- what goes with a graph ---


def examine_meta_graph(meta) -> None:
    library = {f.signature.name: f for f in meta.graph_def.library.function}
    nodes = {n.name: count_outputs(n, library) for n in meta.graph_def.node}
    for name, signature in meta.signature_def.items():
        for side in (signature.inputs, signature.outputs):
            for key, info in side.items():
                where = f"the signature {name!r}: {key!r}"
                examine_info(info, nodes, where)
    for collection, value in meta.collection_def.items():
        if collection in ("saved_model_main_op", "legacy_init_op", "saved_model_train_op"):
            for name in value.node_list.value:
                if base(name) not in nodes:
                    raise UnsoundError(f"{collection} is {name!r}, which is no node")
    saver = meta.saver_def
    for name in (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name):
        if name and base(name) not in nodes:
            raise UnsoundError(f"what saves its variables names {name!r}, which is no node")
    for asset in meta.asset_file_def:
        if base(asset.tensor_info.name) not in nodes:
            raise UnsoundError(f"its asset {asset.filename!r} goes to {asset.tensor_info.name!r}, which is no node")
    examine_objects(meta)


def examine_info(info, nodes: Mapping[str, int | None], where: str) -> None:
    examine_type(info.dtype, where)
    examine_shape(info.tensor_shape, where)
    parts = [info.name]
    if info.WhichOneof("encoding") == "coo_sparse":
        sparse = info.coo_sparse
        parts = [sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name]
    elif info.WhichOneof("encoding") == "composite_tensor":
        for component in info.composite_tensor.components:
            examine_info(component, nodes, where)
        return
    for name in parts:
        node, colon, index = name.partition(":")
        if node not in nodes:
            raise UnsoundError(f"{where} is {name!r}, which is no node")
        count = nodes[node]
        if colon and (not re.fullmatch(r"\d{1,6}", index) or (count is not None and int(index) >= count)):
            raise UnsoundError(f"{where} is {name!r}, which is no tensor of {count}")


def examine_objects(meta) -> None:
    """The objects of a SavedModel: their children and functions exist."""
    objects = meta.object_graph_def
    count = len(objects.nodes)
    library = {f.signature.name for f in meta.graph_def.library.function}
    constants = {n.name for n in meta.graph_def.node}
    for number, node in enumerate(objects.nodes):
        where = f"its object {number}"
        ids = [c.node_id for c in (*node.children, *node.dependencies)]
        ids += [s.slot_variable_node_id for s in node.slot_variables]
        ids += [s.original_variable_node_id for s in node.slot_variables]
        ids += [i for s in node.saveable_objects.values() for i in (s.save_function, s.restore_function)]
        if any(not 0 <= i < count for i in ids):
            raise UnsoundError(f"{where} has a part that does not exist")
        names = [*node.function.concrete_functions]
        if node.HasField("bare_concrete_function"):
            names.append(node.bare_concrete_function.concrete_function_name)
        if missing := [n for n in names if n not in library]:
            raise UnsoundError(f"{where} calls {missing[0]!r}, which is no function of the graph")
        if node.HasField("constant") and node.constant.operation not in constants:
            raise UnsoundError(f"{where} is the constant {node.constant.operation!r}, which is no node")
        if node.HasField("asset") and not 0 <= node.asset.asset_file_def_index < max(len(meta.asset_file_def), 1):
            raise UnsoundError(f"{where} is an asset that does not exist")
        if node.HasField("variable"):
            examine_type(node.variable.dtype, where)
            examine_shape(node.variable.shape, where)
    for name, function in objects.concrete_functions.items():
        if name not in library:
            raise UnsoundError(f"its objects name {name!r}, which is no function of the graph")
        if any(not 0 <= i < count for i in function.bound_inputs):
            raise UnsoundError(f"the function {name} is bound to an object that does not exist")
