"""What an artifact says of itself, so that it can be asked wherever it lies: see Format.told."""

from typing import Any

from visionport.config.labels import write_labels
from visionport.formats.base import Reading
from visionport.inputs.preprocessing import describe


def record(model, reading: Reading) -> dict[str, Any]:
    """JSON-ready: model, preprocessing, reading and side_inputs as a manifest has them, and labels."""
    config = model.config
    kind = {"architecture": config.architecture, "task": config.task, "api": config.lineage.name}
    kind |= {"num_classes": config.num_classes, "label_id_offset": config.label_offset}
    text = write_labels(config.labels, config.num_classes, config.label_offset) if config.labels else ""
    return {
        "model": kind,
        "preprocessing": describe(config.model.resizer, model.meta.normalization(config.model)),
        "reading": reading.record(),
        "side_inputs": [{"name": i.name, "dtype": i.dtype, "shape": list(i.shape)} for i in model.side_inputs],
        "labels": text.splitlines(),
    }
