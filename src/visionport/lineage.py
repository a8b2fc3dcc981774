"""What an export holds beside its artifacts, as the reference lays it out: the checkpoint, the config, the labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visionport.config import Config
from visionport.config.labels import write_labels
from visionport.staging import MANIFEST

LABELS, REPORT, CHECKS = "labels.txt", "report.html", "verify.json"


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
        (folder / LABELS).write_text(write_labels(dict(config.labels), config.num_classes), "utf-8")


def names_beside(config: Config, *, verified: bool) -> list[str]:
    """Those files' names at the top of an export, and those of the manifest and the report."""
    names = [*config.lineage.checkpoint_files, config.lineage.config_name, *config.files]
    names += [LABELS] * bool(config.labels) + [CHECKS] * verified
    return [*names, REPORT, MANIFEST]
