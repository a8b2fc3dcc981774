"""The figures of an artifact, as they go from its process to the table, the JSON and the report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One piece of work: wall seconds, and CPU seconds of all threads of all processes together."""

    wall: float
    cpu: float


@dataclass(frozen=True, kw_only=True)
class Calls:
    """A series of calls after the warm-up, in milliseconds a call; cpu_ms is their median."""

    batch: int
    runs: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    cpu_ms: float
    pictures_per_second: float

    @classmethod
    def of(cls, batch: int, costs: Sequence[Cost]) -> "Calls":
        walls = np.array([c.wall for c in costs]) * 1e3
        p50, p90, p99 = np.percentile(walls, (50, 90, 99))
        return cls(
            batch=batch,
            runs=len(costs),
            min_ms=float(walls.min()),
            p50_ms=float(p50),
            p90_ms=float(p90),
            p99_ms=float(p99),
            cpu_ms=float(np.median([c.cpu for c in costs])) * 1e3,
            pictures_per_second=batch * len(costs) / float(walls.sum()) * 1e3,
        )


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """The task's metric on labelled pictures. value: from 0 to 1; more: other figures, in words."""

    name: str
    value: float
    data: str
    more: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One artifact. error: why the figures that are None were not taken; "" where nothing went wrong."""

    path: str
    format: str
    title: str
    size: int  # bytes
    precision: str = ""
    threads: int = 1
    input: str = ""  # what a call was given: "uint8 [1, 480, 640, 3]"
    load: Cost | None = None
    first: Cost | None = None
    calls: Calls | None = None
    batched: Calls | None = None  # the same in batches
    network: Calls | None = None  # without preprocessing and NMS
    network_is: str = ""  # what was measured as the network
    memory: int | None = None  # peak bytes of the process, less those of the bare runtime
    batched_memory: int | None = None  # the same after the batches
    bare: int | None = None  # peak bytes with the runtime imported and nothing loaded
    accuracy: Accuracy | None = None
    others: float | None = None  # share of the machine that other processes took during the calls; None: not known
    versions: Mapping[str, str] | None = None  # of the runtime's packages
    notes: tuple[str, ...] = ()
    error: str = ""

    def record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Row":
        kinds: dict[str, Any] = {"load": Cost, "first": Cost, "accuracy": Accuracy}
        kinds |= dict.fromkeys(("calls", "batched", "network"), Calls)
        given: dict[str, Any] = {k: kinds[k](**v) if k in kinds and v else v for k, v in record.items()}
        given["notes"] = tuple(given.get("notes", ()))
        return cls(**given)
