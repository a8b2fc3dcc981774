"""A SavedModel with variables and a signature, of any graph and its checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from visionport import freezing, graphs
from visionport.staging import check_target, staged


def unfreeze(
    path: Path,
    out: Path,
    *,
    checkpoint: Path | None = None,
    tags: Sequence[str] | None = None,
    signature: str | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    overwrite: bool = False,
) -> int:
    """Writes a SavedModel tagged serve with the signature serving_default; returns how many variables it has.

    inputs, outputs: as for `freezing.freeze`; their nodes' names are the signature's keys.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    check_target(out, overwrite=False)
    source = freezing.read(Path(path), checkpoint, tags, signature)
    graph, kept, renamed = freezing.trimmed(source, inputs, outputs)
    found = graphs.variables(graph)
    values = source.values(list(found.values()))
    resources = {name for name, node in found.items() if node.op == "VarHandleOp"}
    graphs.keep(graph.node, lambda n: n.name not in values)
    graphs.rename(graph, renamed)
    for node in graph.node:
        node.op = graphs.REFS.get(node.op, node.op)
        node.attr.pop("_class", None)
    with staged(out, overwrite=False) as folder, tf.Graph().as_default() as whole, v1.Session() as session:
        given = {}
        for name, value in values.items():
            zeros = v1.zeros_initializer()
            made = v1.get_variable(name, value.shape, value.dtype, zeros, use_resource=True)
            made.load(value, session)
            given[f"{name}:0"] = made.handle if name in resources else made.read_value()
        taken = {op.name for op in whole.get_operations()}
        graphs.rename(graph, {n.name: f"{n.name}_of_graph" for n in graph.node if n.name in taken})
        v1.import_graph_def(graph, input_map=given, name="")
        tensors = [
            {name: whole.get_tensor_by_name(f"{name}:0") for name in names}
            for names in (
                [n.name for n in graph.node if n.op.startswith("Placeholder")],
                [renamed.get(name, name) for name in kept],
            )
        ]
        builder = v1.saved_model.Builder(str(folder / "model"))
        signatures = {freezing.DEFAULT_SIGNATURE: v1.saved_model.predict_signature_def(*tensors)}
        builder.add_meta_graph_and_variables(session, ["serve"], signatures, clear_devices=True)
        builder.save()
        for file in list((folder / "model").iterdir()):
            file.rename(folder / file.name)
        (folder / "model").rmdir()
    return len(values)
