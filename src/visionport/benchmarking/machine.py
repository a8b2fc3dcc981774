"""The machine that figures are of: its processor, its load, and a process's memory on it."""

import importlib.metadata
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CALM = 0.15  # load average a core, and share of the machine that others take, above which it is not calm


@dataclass(frozen=True, kw_only=True)
class Machine:
    """load: the average of the last minute when the benchmark began, so that it is not its own."""

    processor: str
    cores: int  # that this process may use
    system: str
    python: str
    load: float
    date: str

    @classmethod
    def here(cls) -> "Machine":
        return cls(
            processor=processor(),
            cores=cores(),
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            load=round(os.getloadavg()[0], 2),
            date=time.strftime("%Y-%m-%d %H:%M %Z"),
        )


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), platform.processor() or platform.machine())


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> int:
    """The most bytes that this process has held in memory.

    Of its own program alone where Linux tells, whose resource usage begins with that of the process that started it.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    unit = 1 if sys.platform == "darwin" else 1024
    return peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Watch:
    """How much of the machine other processes take from now on. cpu: gives the seconds that are our own."""

    def __init__(self, cpu: Callable[[], float]):
        self._cpu = cpu
        self._begun = busy_and_all(), cpu()

    def others(self) -> float | None:
        """Their share, from 0 to 1; None where the system does not tell."""
        (before, cpu), now = self._begun, busy_and_all()
        if not before or not now or now[1] <= before[1]:
            return None
        own = (self._cpu() - cpu) * os.sysconf("SC_CLK_TCK")
        return min(max((now[0] - before[0] - own) / (now[1] - before[1]), 0.0), 1.0)


def busy_and_all() -> tuple[int, int] | None:
    """Ticks of all cores since the machine began: those at work, and all."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    ticks = [int(n) for n in stat.read_text().split("\n", 1)[0].split()[1:9]]  # user to steal
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # idle, waiting for disks


def version(module) -> str:
    """Of an imported module's package."""
    name = module.__name__.partition(".")[0]
    found = getattr(sys.modules[name], "__version__", "")
    try:
        return found or importlib.metadata.version(name.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return ""
