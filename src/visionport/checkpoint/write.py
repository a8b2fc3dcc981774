"""The checkpoint beside an export, as the reference writes it: the model alone, without optimizer or its slots."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionport.checkpoint.read import OBJECT_GRAPH, VALUE, Checkpoint, escaped
from visionport.checkpoint.saved_model import object_graph

COUNTER = "save_counter"
KEPT = ("model", COUNTER)  # children of a TF2 checkpoint's root


def write(checkpoint: Checkpoint, model, folder: Path) -> Path:
    """Writes the checkpoint and its state file into an export directory; returns its prefix."""
    lineage = model.config.lineage
    prefix = folder / lineage.checkpoint_place
    prefix.parent.mkdir(exist_ok=True)
    if lineage.checkpoint == "tf1":
        tensors = named_tensors(checkpoint, model.params)
    elif lineage.trains_parts:
        tensors = model_tensors(checkpoint, model)
    elif checkpoint.kind == "tf2":
        tensors = object_tensors(checkpoint, model.params)
    else:
        tensors = rebuilt_tensors(model)
    save(prefix, tensors)
    state = f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n'
    (prefix.parent / "checkpoint").write_text(state)
    return prefix


def save(prefix: Path, tensors: Mapping[str, Any]) -> None:
    """Writes index and data of a checkpoint. tensors: key -> a variable, an array or bytes."""
    import tensorflow as tf

    names = sorted(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.convert_to_tensor(tensors[n]) for n in names],
    )


def named_tensors(checkpoint: Checkpoint, params) -> dict:
    """TF1: what the model reads, under plain names (averages have become the variables), and the step."""
    tensors = {**params.variables, **params.constants}
    return tensors | {k: checkpoint[k] for k in ("global_step",) if k in checkpoint.entries}


def object_tensors(checkpoint: Checkpoint, params) -> dict:
    """TF2: every value of the model by its key, and the object graph that leads there. Nothing is read twice."""
    full = checkpoint.object_graph()
    if full is None:
        return values(checkpoint, params, {k: k for k in checkpoint.entries if checkpoint.classify(k) == "model"})
    graph = pruned(full)
    keys = [a.checkpoint_key for node in graph.nodes for a in node.attributes if a.checkpoint_key.endswith(VALUE)]
    return values(checkpoint, params, {k: k for k in keys}) | {OBJECT_GRAPH: serialized(graph)}


def model_tensors(checkpoint: Checkpoint, model) -> dict:
    """Official Vision: the model by the keys that it alone gives, and the counter of a first save.

    A trainer's keys are others, since they lead through the model's parts.
    """
    full = checkpoint.object_graph()
    if full is None:
        return rebuilt_tensors(model)
    add_counter(full)
    graph = pruned(full)
    keys = {old: new for old, new in rename(graph).items() if new.endswith(VALUE)}
    tensors = values(checkpoint, model.params, {old: new for old, new in keys.items() if new != COUNTER + VALUE})
    return tensors | {COUNTER + VALUE: np.int64(1), OBJECT_GRAPH: serialized(graph)}


def values(checkpoint: Checkpoint, params, keys: Mapping[str, str]) -> dict:
    """New key -> value; keys: the checkpoint's to new ones. What the model holds is not read again."""
    held = {key: params.variables.get(name, params.constants.get(name)) for name, key in params.keys.items()}
    return {new: held[old] if held.get(old) is not None else checkpoint[old] for old, new in keys.items()}


def rebuilt_tensors(model) -> dict:
    """TF2, of a SavedModel: every weight under the object path that the architecture has for it."""
    from visionport.checkpoint.names import locator

    locate = locator(model.meta.names(model.config.model))
    weights = {**model.params.variables, **model.params.constants}
    found = {locate(name) or name: value for name, value in weights.items()}
    return {path + VALUE: value for path, value in found.items()} | {OBJECT_GRAPH: object_graph(found)}


def serialized(graph) -> bytes:
    return graph.SerializeToString(deterministic=True)


def add_counter(graph) -> None:
    """The counter that `tf.train.Checkpoint.save` makes, where `write` wrote the checkpoint."""
    if any(child.local_name == COUNTER for child in graph.nodes[0].children):
        return
    graph.nodes[0].children.add(node_id=len(graph.nodes), local_name=COUNTER)
    node = graph.nodes.add()
    node.attributes.add(name="VARIABLE_VALUE", full_name=COUNTER, checkpoint_key=COUNTER + VALUE)
    node.has_checkpoint_values.value = True


def pruned(full):
    """The object graph of the model alone, nodes in the order of their distance."""
    number = {0: 0}
    order = [0]
    for node in order:  # grows while it is walked
        for child in full.nodes[node].children:
            if (node or child.local_name in KEPT) and child.node_id not in number:
                number[child.node_id] = len(order)
                order.append(child.node_id)
    out = type(full)()
    for node in order:
        copy = out.nodes.add()
        copy.CopyFrom(full.nodes[node])
        del copy.slot_variables[:]
        del copy.children[:]
        for child in full.nodes[node].children:
            if child.node_id in number and (node or child.local_name in KEPT):
                copy.children.add(node_id=number[child.node_id], local_name=child.local_name)
    return out


def rename(graph) -> dict[str, str]:
    """Gives every value the key that its shortest path spells; returns old keys -> new ones."""
    paths = {0: ""}
    keys = {}
    for node, at in enumerate(graph.nodes):  # a node comes after the first that leads to it
        for child in at.children:
            paths.setdefault(child.node_id, f"{paths[node]}/{escaped(child.local_name)}".removeprefix("/"))
        for attribute in at.attributes:
            old, attribute.checkpoint_key = attribute.checkpoint_key, f"{paths[node]}/.ATTRIBUTES/{attribute.name}"
            keys[old] = attribute.checkpoint_key
    return keys
