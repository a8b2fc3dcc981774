"""Ops that TensorFlow does not know, made known to it by name: graphs that hold them are imported then, not run."""

from collections.abc import Mapping

from visionport.graph import edit


def register_ops(graph, unknown: Mapping[str, str]) -> None:
    """Registers the op of each of these nodes, for the process: its types are those of what goes in and comes out.

    unknown: node -> op. What comes out is said by the node's `_output_types`, otherwise as what goes in first.
    """
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.lite.python.convert import register_custom_opdefs

    nodes, left = {n.name: n for n in graph.node}, dict(unknown)
    read = {edit.full_name(i) for n in graph.node for i in n.input if i[0] != "^"}
    while left:
        ready = [n for n in left if not set(before(nodes, n)) & (left.keys() - {n})]
        for name in ready or list(left):
            node, op = nodes[name], left.pop(name)
            if not edit.unknown_ops(type(graph)(node=[node])):
                continue  # by another node
            data = [i for i in node.input if i[0] != "^"]
            given = [t.dtype.base_dtype.as_datatype_enum for t in edit.import_tensors(graph, data).values()]
            outputs = list(node.attr["_output_types"].list.type)
            outputs = outputs or given[:1] * (1 + max((i for i in range(64) if f"{name}:{i}" in read), default=0))
            definition = op_def_pb2.OpDef(name=op, is_stateful=False)
            for side, types in ((definition.input_arg, given), (definition.output_arg, outputs)):
                for i, kind in enumerate(types):
                    side.add(name=f"{'i' if side is definition.input_arg else 'o'}{i}", type=kind)
            for key, value in node.attr.items():
                if not key.startswith("_"):
                    definition.attr.add(name=key, type=TYPES.get(value.WhichOneof("value") or "", "string"))
            register_custom_opdefs([str(definition)])
            edit.BY_NAME.add(op)


def before(nodes, name: str) -> list[str]:
    """The nodes that a node needs."""
    queue = [edit.base(i) for i in nodes[name].input]
    for one in queue:  # grows while it is walked
        queue += [edit.base(i) for i in nodes[one].input if edit.base(i) not in queue]
    return queue


# What an attribute's value is called in an op's definition.
TYPES = {"s": "string", "i": "int", "f": "float", "b": "bool", "type": "type", "shape": "shape", "tensor": "tensor"}
