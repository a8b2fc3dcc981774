"""What an export holds beside its artifacts, as the reference lays it out: the checkpoint, the config, the labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visionport.config import Config
from visionport.config.labels import write_labels
from visionport.errors import OptionError
from visionport.staging import MANIFEST

LABELS, REPORT, CHECKS = "labels.txt", "report.html", "verify.json"
FLOPS, PARAMS = "model_flops.txt", "model_params.txt"


def write_lineage(config: Config, checkpoint, model, signatures: Sequence[Any], folder: Path) -> None:
    """Writes the checkpoint without optimizer slots, the config as exported, and labels.txt where names are known."""
    from visionport.checkpoint import write
    from visionport.graph import meta_graph

    prefix = write.write(checkpoint, model, folder)
    if config.lineage.writes_meta:
        meta_graph.write(model, signatures[0], prefix)
    for name, text in {config.lineage.config_name: config.text, **config.files}.items():
        (folder / name).write_text(text, "utf-8")
    if config.labels:
        names = write_labels(config.labels, config.num_classes, config.label_offset)
        (folder / LABELS).write_text(names, "utf-8")


def write_counts(model, folder: Path) -> list[Any]:
    """Writes model_flops.txt and model_params.txt; the layers and what each needs, see graph/flops.py."""
    from visionport.graph import flops

    layers = flops.count_layers(*trace_network(model), norms=model.config.synchronised_norms)
    weights = {**model.params.variables, **model.params.constants}
    (folder / FLOPS).write_text(flops.flops_text(layers), "utf-8")
    (folder / PARAMS).write_text(flops.params_text({name: w.shape for name, w in weights.items()}), "utf-8")
    return layers


def trace_network(model) -> tuple[Any, list[Any]]:
    """The graph from one preprocessed picture, of the size that the network gets, to the answers; and these."""
    import tensorflow as tf

    size = model.input_size
    if None in size and model.config.picture_size:
        picture = tf.zeros((1, *model.config.picture_size, 3), tf.uint8)
        size = model.preprocess(picture)[0].shape[1:]
    if None in size:
        raise OptionError("--flops: how much the network computes depends on the picture's size. Add --image-size.")
    specs = [tf.TensorSpec((1, *size), tf.float32), tf.TensorSpec((1, 3), tf.int32)]
    specs += [tf.TensorSpec((1, *i.shape[1:]), i.dtype) for i in model.side_inputs]

    def network(images, true_shapes, *side):
        scope, config = model.params.scope(), model.config.model
        prediction = model.predict(images, true_shapes, *side)
        return model.meta.exported(model.config, model.meta.postprocess(config, scope, prediction, images, true_shapes))

    graph = tf.function(network, autograph=False).get_concrete_function(*specs).graph
    return graph, [*graph.outputs]


def names_beside(config: Config, options) -> list[str]:
    """Those files' names at the top of an export, and those of the manifest and the report."""
    names = [*config.lineage.checkpoint_files, config.lineage.config_name, *config.files]
    names += [LABELS] * bool(config.labels) + [CHECKS] * options.verify + [FLOPS, PARAMS] * options.flops
    return [*names, REPORT, MANIFEST]
