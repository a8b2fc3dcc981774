"""The checkpoint beside an export, as the reference writes it: the model alone, without optimizer or its slots."""

from pathlib import Path

from visionport.checkpoint import OBJECT_GRAPH, VALUE, Checkpoint

FOLDER, NAME = "checkpoint", "ckpt-0"
KEPT = ("model", "save_counter")  # children of the root


def write(checkpoint: Checkpoint, params, folder: Path) -> Path:
    """Writes folder/checkpoint/ckpt-0 and its state file; values that the model holds are not read again."""
    import tensorflow as tf

    target = folder / FOLDER
    target.mkdir()
    held = {key: params.variables.get(name, params.constants.get(name)) for name, key in params.keys.items()}
    graph, keys = pruned(checkpoint)
    tensors = {k: tf.convert_to_tensor(held[k] if held.get(k) is not None else checkpoint[k]) for k in keys}
    if graph is not None:
        tensors[OBJECT_GRAPH] = tf.constant(graph.SerializeToString(deterministic=True))
    names = sorted(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(target / NAME),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tensors[n] for n in names],
    )
    (target / "checkpoint").write_text(f'model_checkpoint_path: "{NAME}"\nall_model_checkpoint_paths: "{NAME}"\n')
    return target


def pruned(checkpoint: Checkpoint):
    """The object graph of the model alone and the keys of its values; None and all keys where there is no graph."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    raw = checkpoint.object_graph()
    if raw is None:
        return None, [k for k in checkpoint.entries if checkpoint.classify(k) == "model"]
    full = trackable_object_graph_pb2.TrackableObjectGraph.FromString(raw)
    number = {0: 0}
    order = [0]
    for node in order:  # grows while it is walked
        for child in full.nodes[node].children:
            if (node or child.local_name in KEPT) and child.node_id not in number:
                number[child.node_id] = len(order)
                order.append(child.node_id)
    out = trackable_object_graph_pb2.TrackableObjectGraph()
    keys = []
    for node in order:
        copy = out.nodes.add()
        copy.CopyFrom(full.nodes[node])
        del copy.slot_variables[:]
        del copy.children[:]
        for child in full.nodes[node].children:
            if child.node_id in number and (node or child.local_name in KEPT):
                copy.children.add(node_id=number[child.node_id], local_name=child.local_name)
        keys += [a.checkpoint_key for a in copy.attributes if a.checkpoint_key.endswith(VALUE)]
    return out, keys
