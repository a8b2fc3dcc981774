"""Averages of the weights beside the weights, as Official Vision's trainer keeps them: slots of an optimizer.

Ordinary checkpoints hold the raw weights under the plain keys and the averages as slots; the best checkpoint and
`ema_checkpoints/average_weights-*` hold the averages under the plain keys (and the raw weights as slots).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from visionport.checkpoint import files
from visionport.checkpoint.read import SLOT, VALUE, Checkpoint
from visionport.errors import CheckpointError

# How checkpoints are named that were saved with the averages as the weights.
SWAPPED = ("average_weights-", "best_ckpt-")
NOTE = "it holds averages of the weights too; taken are the weights themselves, as the reference does (--ema: those)"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Averaged(Checkpoint):
    """A checkpoint whose weights are their averages, where they have one. slots: a weight's key -> its average's."""

    slots: Mapping[str, str]

    def __getitem__(self, key: str) -> np.ndarray:
        return super().__getitem__(self.slots.get(key, key))


def choose_weights(checkpoint: Checkpoint, ema: bool = False) -> Checkpoint:
    """The checkpoint with averages for weights (`ema`), or as it is, with a warning where it has averages too.

    Batch norms' statistics are as they are, unless they were averaged too. Raises CheckpointError for `ema` where there
    are no averages, or where these have become the weights.
    """
    slots = average_slots(checkpoint) if checkpoint.kind == "tf2" else {}
    swapped = checkpoint.prefix.name.startswith(SWAPPED)
    if not ema:
        note = (NOTE,) if slots and not swapped else ()
        return replace(checkpoint, warnings=(*checkpoint.warnings, *note)) if note else checkpoint
    if slots and swapped:
        raise CheckpointError(
            f"{checkpoint.prefix}: by its name, its weights are the averages already, and its slots the weights "
            "themselves. Leave --ema out."
        )
    if not slots:
        raise CheckpointError(
            f"{checkpoint.prefix}: --ema wants averages of the weights, and it holds none: it was trained without "
            "(trainer.optimizer_config.ema), or is an export. Leave --ema out."
        )
    for weight, slot in slots.items():
        of, average = checkpoint.entries[weight], checkpoint.entries[slot]
        if (of.shape, of.dtype) != (average.shape, average.dtype):
            raise CheckpointError(
                f"{checkpoint.prefix}: {files.shown(slot)} is no average of its weight, which has another shape or "
                "type. Leave --ema out."
            )
    same = {f.name: getattr(checkpoint, f.name) for f in fields(Checkpoint)}
    return Averaged(slots=slots, **same)


def average_slots(checkpoint: Checkpoint) -> dict[str, str]:
    """A weight's key -> its average's, of all that have one."""
    found = {key.partition(SLOT)[0] + VALUE: key for key in checkpoint.groups()["average"]}
    return {weight: slot for weight, slot in found.items() if weight in checkpoint.entries}
