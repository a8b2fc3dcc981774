"""Lineages: which of the reference's code bases trained a checkpoint, and what that means for files and names."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """How a code base names things, in its checkpoints and in its exports."""

    name: str
    checkpoint: Literal["tf1", "tf2"]  # the kind that it writes: names, or an object graph
    input_name: str  # of a signature's image input
    config_name: str  # the config's file in an export
    checkpoint_place: str  # the checkpoint's prefix in an export
    writes_meta: bool = False  # a .meta beside that checkpoint
    trains_parts: bool = (
        False  # a trainer's keys begin with the model's parts, "backbone/..."; an export's with "model/"
    )
    gives_anchor_indices: bool = True  # its exports say which anchor each detection comes from

    @property
    def checkpoint_files(self) -> tuple[str, ...]:
        """What an export directory holds of the checkpoint at its top, but for shards."""
        place, _, below = self.checkpoint_place.partition("/")
        if below:
            return (place,)
        return ("checkpoint", f"{place}.index", *([f"{place}.meta"] if self.writes_meta else []))


# Reference: exporter.py of the Object Detection API.
TF1 = Lineage(
    name="tf1",
    checkpoint="tf1",
    input_name="inputs",
    config_name="pipeline.config",
    checkpoint_place="model.ckpt",
    writes_meta=True,
    gives_anchor_indices=False,
)
# Reference: exporter_lib_v2.py.
TF2 = Lineage(
    name="tf2",
    checkpoint="tf2",
    input_name="input_tensor",
    config_name="pipeline.config",
    checkpoint_place="checkpoint/ckpt-0",
)

# Reference: official/vision/serving/export_saved_model_lib.py.
OFFICIAL = Lineage(
    name="official",
    checkpoint="tf2",
    input_name="inputs",
    config_name="params.yaml",
    checkpoint_place="checkpoint/ckpt-1",
    trains_parts=True,
    gives_anchor_indices=False,
)

LINEAGES = {lineage.name: lineage for lineage in (TF1, TF2, OFFICIAL)}
