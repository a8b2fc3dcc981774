"""TF1's `.meta`: the inference graph with variables and a saver, for `tf.compat.v1.train.import_meta_graph`.

Not a format to ask for: it stands beside a TF1 export's checkpoint, as the reference writes it. Written as it is, from
the graph: making 200 variables in a graph of TensorFlow's takes nearly as much as the rest of an export.

Reference: tensorflow/core/protobuf/{meta_graph,saver}.proto, tensorflow/core/framework/variable.proto;
tensorflow/python/training/saver.py.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visionport.checkpoint.params import FROZEN
from visionport.graph import edit
from visionport.graph.function import node_names

READ = "/Read/ReadVariableOp"  # behind a variable's name, the node that reads it
VARIABLES, TRAINED = "variables", "trainable_variables"  # collections


def write(model, signature, prefix: Path) -> Path:
    """Writes PREFIX.meta. Its variables are in the collections, so that importing it finds and restores them."""
    import tensorflow as tf
    from tensorflow.core.protobuf import meta_graph_pb2
    from tensorflow.python.framework import meta_graph

    meta = meta_graph_pb2.MetaGraphDef()
    statistics = {name: model.params.constants[name] for name in model.statistics}
    variables = {**model.params.variables, **statistics}
    meta.graph_def.CopyFrom(graph_of(signature, model.params.variables, statistics))
    for name, value in variables.items():
        trained = name not in statistics and value.trainable
        add_variable(meta, name, tf.as_dtype(value.dtype), tf.TensorShape(value.shape), trained=trained)
    if variables:  # none where all is frozen
        add_saver(meta, {name: tf.as_dtype(value.dtype) for name, value in variables.items()})
    info = meta.meta_info_def
    info.tensorflow_version, info.tensorflow_git_version = tf.version.VERSION, tf.version.GIT_VERSION
    info.stripped_op_list.MergeFrom(meta_graph.stripped_op_list_for_graph(meta.graph_def))
    target = prefix.parent / f"{prefix.name}.meta"
    target.write_bytes(meta.SerializeToString(deterministic=True))
    return target


def graph_of(signature, variables: Mapping[str, Any], statistics: Mapping[str, Any]) -> Any:
    """The signature's graph without calls. What it reads are the nodes of variables by these names, which it lacks."""
    from tensorflow.python.framework import convert_to_constants

    function = signature.function
    graph = convert_to_constants._run_inline_graph_optimization(
        function, lower_control_flow=True, aggressive_inlining=False
    )
    del graph.library.function[:]
    captured = {id(handle): inner.op.name for handle, inner in function.graph.captures}
    sources = [t.op.name for t in function.inputs if t.op.name not in captured.values()]
    edit.prune(graph, [*sources, *(t.op.name for t in function.outputs)])
    given = {captured[id(variable.handle)]: name for name, variable in variables.items()}
    for node in graph.node:
        _, _, name = node.name.rpartition(FROZEN)
        if node.op == "Const" and name in statistics:
            given[node.name] = name + READ
    edit.keep(graph.node, lambda n: n.name not in given)
    inputs = {signature.input_name: signature.name} | {name: name for name in signature.more}
    edit.rename(graph, given | node_names(function, sources, inputs))
    for node in graph.node:
        node.device = ""
    return graph


def add_node(meta, op: str, name: str, inputs: Iterable[str] = (), **dtypes):
    """dtypes: attribute -> dtype."""
    node = meta.graph_def.node.add(op=op, name=name, input=inputs)
    for key, dtype in dtypes.items():
        node.attr[key].type = dtype.as_datatype_enum
    return node


def add_constant(meta, name: str, value) -> str:
    import tensorflow as tf

    made = tf.make_tensor_proto(value)
    node = add_node(meta, "Const", name, dtype=tf.as_dtype(made.dtype))
    node.attr["value"].tensor.CopyFrom(made)
    return name


def add_variable(meta, name: str, dtype, shape, *, trained: bool) -> None:
    """The nodes that hold it, read it and start it with zeros; and what finds them by the collections."""
    import tensorflow as tf
    from tensorflow.core.framework import variable_pb2

    node = add_node(meta, "VarHandleOp", name, dtype=dtype)
    node.attr["shape"].shape.CopyFrom(shape.as_proto())
    node.attr["shared_name"].s = name.encode()
    add_node(meta, "ReadVariableOp", name + READ, [name], dtype=dtype)
    zeros = f"{name}/Initializer/zeros"
    dims = add_constant(meta, f"{zeros}/shape", tf.constant(shape.as_list(), tf.int32).numpy())
    zero = add_constant(meta, f"{zeros}/zero", dtype.as_numpy_dtype(0))
    add_node(meta, "Fill", zeros, [dims, zero], T=dtype, index_type=tf.int32)
    add_node(meta, "AssignVariableOp", f"{name}/Assign", [name, zeros], dtype=dtype)
    told = variable_pb2.VariableDef(
        variable_name=f"{name}:0",
        initial_value_name=f"{zeros}:0",
        initializer_name=f"{name}/Assign",
        snapshot_name=f"{name}{READ}:0",
        is_resource=True,
        trainable=trained,
    ).SerializeToString()
    for collection in (VARIABLES, TRAINED) if trained else (VARIABLES,):
        meta.collection_def[collection].bytes_list.value.append(told)


def add_saver(meta, dtypes: Mapping[str, Any]) -> None:
    """Nodes that save and restore variables of those names, and what `tf.compat.v1.train.Saver` is made of."""
    import tensorflow as tf

    default = add_constant(meta, "save/filename", b"model")
    file = add_node(meta, "PlaceholderWithDefault", "save/Const", [default], dtype=tf.string)
    file.attr["shape"].shape.SetInParent()
    names = add_constant(meta, "save/tensor_names", [name.encode() for name in dtypes])
    slices = add_constant(meta, "save/shape_and_slices", [b""] * len(dtypes))
    inputs = [file.name, names, slices]
    types = [dtype.as_datatype_enum for dtype in dtypes.values()]
    save = add_node(meta, "SaveV2", "save/SaveV2", [*inputs, *(name + READ for name in dtypes)])
    save.attr["dtypes"].list.type.extend(types)
    restore = add_node(meta, "RestoreV2", "save/RestoreV2", inputs)
    restore.attr["dtypes"].list.type.extend(types)
    assigned = []
    for i, (name, dtype) in enumerate(dtypes.items()):
        node = add_node(meta, "AssignVariableOp", f"save/AssignVariableOp_{i}", [name, f"save/RestoreV2:{i}"])
        node.attr["dtype"].type = dtype.as_datatype_enum
        assigned.append(f"^{node.name}")
    saved = add_node(meta, "Identity", "save/control_dependency", [file.name, "^save/SaveV2"], T=tf.string)
    saver = meta.saver_def
    saver.filename_tensor_name, saver.save_tensor_name = f"{file.name}:0", f"{saved.name}:0"
    saver.restore_op_name = add_node(meta, "NoOp", "save/restore_all", assigned).name
    saver.version, saver.max_to_keep, saver.keep_checkpoint_every_n_hours = saver.V2, 5, 10000.0
