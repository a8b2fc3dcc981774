"""The checkpoint beside an export, as the reference writes it: the model alone, without optimizer or its slots."""

from pathlib import Path

from visionport.checkpoint.read import OBJECT_GRAPH, VALUE, Checkpoint
from visionport.checkpoint.saved_model import object_graph

KEPT = ("model", "save_counter")  # children of a TF2 checkpoint's root


def write(checkpoint: Checkpoint, model, folder: Path) -> Path:
    """Writes the checkpoint and its state file into an export directory; returns its prefix."""
    import tensorflow as tf

    lineage = model.config.lineage
    prefix = folder / lineage.checkpoint_place
    prefix.parent.mkdir(exist_ok=True)
    if lineage.checkpoint == "tf1":
        tensors = named_tensors(checkpoint, model.params)
    elif checkpoint.kind == "tf2":
        tensors = object_tensors(checkpoint, model.params)
    else:
        tensors = rebuilt_tensors(model)
    names = sorted(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.convert_to_tensor(tensors[n]) for n in names],
    )
    state = f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n'
    (prefix.parent / "checkpoint").write_text(state)
    return prefix


def named_tensors(checkpoint: Checkpoint, params) -> dict:
    """TF1: what the model reads, under plain names (averages have become the variables), and the step."""
    tensors = {**params.variables, **params.constants}
    return tensors | {k: checkpoint[k] for k in ("global_step",) if k in checkpoint.entries}


def object_tensors(checkpoint: Checkpoint, params) -> dict:
    """TF2: every value of the model by its key, and the object graph that leads there. Nothing is read twice."""
    held = {key: params.variables.get(name, params.constants.get(name)) for name, key in params.keys.items()}
    graph, keys = pruned(checkpoint)
    tensors = {k: held[k] if held.get(k) is not None else checkpoint[k] for k in keys}
    return tensors | ({OBJECT_GRAPH: graph} if graph else {})


def rebuilt_tensors(model) -> dict:
    """TF2, of a SavedModel: every weight under the object path that the architecture has for it."""
    from visionport.checkpoint.names import locator

    locate = locator(model.meta.names(model.config.model))
    weights = {**model.params.variables, **model.params.constants}
    found = {locate(name) or name: value for name, value in weights.items()}
    return {path + VALUE: value for path, value in found.items()} | {OBJECT_GRAPH: object_graph(found)}


def pruned(checkpoint: Checkpoint) -> tuple[bytes | None, list[str]]:
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
    return out.SerializeToString(deterministic=True), keys
