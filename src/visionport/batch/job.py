"""What a worker must know to answer: settled where the run begins, the same in every process."""

from dataclasses import asdict, dataclass, fields
from typing import Any

BATCH = 8  # pictures of one size that are asked about at once


@dataclass(frozen=True, kw_only=True)
class Job:
    """One way to ask an artifact about pictures.

    to: a key of outputs.OUTPUTS. image_key: the feature or column that holds the pictures. raw: whether rows have the
    artifact's own outputs too. draw_dir: where pictures with their answers go. folder: in which paths that are not
    absolute begin. large_model: one process of a machine holds the model for all; None where its size decides.
    """

    artifact: str
    format: str | None = None
    signature: str | None = None
    side_inputs: str | None = None
    image_key: str | None = None
    exif: bool = True
    min_score: float = 0.3
    batch_size: int = BATCH
    to: str = "jsonl"
    raw: bool = False
    draw_dir: str | None = None
    folder: str = ""
    large_model: bool | None = None

    def record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, record: dict[str, Any]) -> "Job":
        return cls(**{f.name: record[f.name] for f in fields(cls) if f.name in record})
