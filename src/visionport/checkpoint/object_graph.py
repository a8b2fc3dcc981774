"""The object graph of a TF2 checkpoint: which object has which children, and under which key its value is stored."""

from collections import deque
from collections.abc import Container

from visionport import limits
from visionport.checkpoint.schema import DecodeError, message_class


def parse(serialized: bytes, keys: Container[str], value: str):
    """The TrackableObjectGraph; raises ValueError for one that leads nowhere.

    keys: those of the checkpoint; value: how the key of a variable ends.
    """
    if len(serialized) > limits.OBJECT_GRAPH:
        raise ValueError(f"no object graph is larger than {limits.OBJECT_GRAPH >> 20} MiB")
    try:
        graph = message_class("TrackableObjectGraph").FromString(serialized)
    except DecodeError:
        raise ValueError("it cannot be read") from None
    count = len(graph.nodes)
    if not 1 <= count <= limits.OBJECT_GRAPH_NODES:
        raise ValueError(f"it has {count:,} nodes" if count else "it has no nodes")
    for number, node in enumerate(graph.nodes):
        reached = [child.node_id for child in node.children]
        for slot in node.slot_variables:
            reached += [slot.original_variable_node_id, slot.slot_variable_node_id]
        if reached and not 0 <= min(reached) <= max(reached) < count:
            raise ValueError(f"node {number} leads to one that is not there")
        if len({child.local_name for child in node.children}) != len(node.children):
            raise ValueError(f"node {number} has two children of one name")
        for attribute in node.attributes:
            key = attribute.checkpoint_key
            if key.endswith(value) and key not in keys:
                raise ValueError(f"it names {key[:200]!r}, which the index does not have")
    check_paths(graph)
    return graph


def check_paths(graph) -> None:
    """Raises ValueError where the shortest paths to all nodes are too long to be spelt."""
    length, order, total = {0: 0}, deque([0]), 0
    while order:
        number = order.popleft()
        for child in graph.nodes[number].children:
            if child.node_id not in length:
                length[child.node_id] = length[number] + len(child.local_name) + 1
                total += length[child.node_id]
                order.append(child.node_id)
        if total > limits.OBJECT_GRAPH_PATHS:
            raise ValueError("its nodes lie too deep")
