"""How an export's CPU time and memory grow: with the weights, the input's size and the number of classes.

    python benchmarks/growth.py                 draws docs/growth.svg and writes the table in docs/benchmark.md
    python benchmarks/growth.py --repeat 3      the least of three runs of each

Weights: Official Vision's ResNet-50 with all widths multiplied, so that the graph is the same. Size and classes: its
RetinaNet. Each figure is of a fresh `visionport export --no-verify`: CPU as a ratio (x) to `import tensorflow`, memory
above its peak, both measured right before. Takes ten minutes; the exit status says whether everything ran.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from export import GOLDEN, ROOT, find_golden, run

from visionport.benchmarking.machine import Machine

PAGE, PLOT = ROOT / "docs" / "benchmark.md", ROOT / "docs" / "growth.svg"
TITLE = "CPU time and peak memory of an export against weights, input size and classes"
MARKS = ("<!-- growth -->\n", "<!-- /growth -->")
WIDTH = "task.model.backbone.resnet.depth_multiplier"
CLASSES = 91  # of the published detector


@dataclass(frozen=True, kw_only=True)
class Series:
    """What is changed. points: its values; across: what the horizontal axis shows of each; options: of the export."""

    name: str
    title: str  # of the plot
    unit: str
    experiment: str
    points: tuple[float, ...]
    across: Callable[[float], float]
    options: Callable[[float], tuple[str, ...]]
    shapes: Callable[[list[int], float], list[int]]  # of a weight of the published model -> of this one

    def text(self, point: "Point") -> str:
        return f"{point.across:.3g}" if self.name == "weights" else f"{point.value:g}"


def widened(shape: list[int], factor: float) -> list[int]:
    """All widths multiplied; pixels and classes stay."""
    return [*shape[:-2], *(n if n in (3, 1001) else int(n * factor) for n in shape[-2:])]


def millions(factor: float) -> float:
    """Weights of that ResNet-50: those between layers grow with the square, the last layer's do not."""
    return 23.5 * factor**2 + 2.05 * factor


def reclassed(shape: list[int], classes: float) -> list[int]:
    """The last layer for so many classes, of nine boxes a place."""
    last = 9 * int(classes) if shape and shape[-1] == 9 * CLASSES else None
    return shape if last is None else [*shape[:-1], last]


SERIES = (
    Series(
        name="weights",
        title="million weights",
        unit=" million",
        experiment="resnet_imagenet",
        points=(1 / 8, 1 / 2, 1, 5 / 4, 3 / 2, 2),
        across=millions,
        options=lambda f: ("--image-size", "224,224", "--params-override", f"{WIDTH}={f}"),
        shapes=widened,
    ),
    Series(
        name="input",
        title="side of the input",
        unit=" pixels a side",
        experiment="retinanet_resnetfpn_coco",
        points=(128, 384, 640, 896, 1152, 1280),
        across=lambda side: side**2 / 1e6,
        options=lambda side: ("--image-size", f"{side:.0f},{side:.0f}"),
        shapes=lambda shape, _: shape,
    ),
    Series(
        name="classes",
        title="classes",
        unit="",
        experiment="retinanet_resnetfpn_coco",
        points=(2, 20, 91, 300, 600, 1000),
        across=lambda classes: classes,
        options=lambda classes: (
            "--image-size",
            "256,256",
            "--params-override",
            f"task.model.num_classes={classes:.0f}",
        ),
        shapes=reclassed,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Point:
    value: float
    across: float
    cpu: float  # x
    peak: float  # MiB above the import


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=2, metavar="N", help="least of N runs; default: 2")
    parser.add_argument("--golden", type=Path, metavar="DIR", help=f"default: {' or '.join(map(str, GOLDEN))}")
    options = parser.parse_args()
    names, here = find_golden(options.golden) / "vision" / "names", Machine.here()
    imports = [run("-c", "import tensorflow") for _ in range(3)]
    base = min(cpu for cpu, _, _ in imports), min(peak for _, peak, _ in imports)
    found = {series.name: measure(series, names, options.repeat, base) for series in SERIES}
    PLOT.write_text(draw(found))
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    PAGE.write_text(
        before + MARKS[0] + table(found, here, base, options.repeat) + MARKS[1] + rest.partition(MARKS[1])[2]
    )
    print(table(found, here, base, options.repeat))


def measure(series: Series, names: Path, repeat: int, base: tuple[float, float]) -> list[Point]:
    points = []
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        checkpoint, out = Path(folder, "checkpoint"), Path(folder, "out")
        for value in series.points:
            print(f"{series.name}: {value:g}{series.unit}", file=sys.stderr, flush=True)
            run(__file__, "--make", series.name, value, names, checkpoint)
            given = "--experiment", series.experiment, "--checkpoint", checkpoint, *series.options(value)
            last = "--batch", "1", "--no-verify", "--quiet", "--overwrite", "--out", out
            runs = [run("-m", "visionport", "export", *given, *last) for _ in range(repeat)]
            cpu, peak = min(cpu for cpu, _, _ in runs), min(peak for _, peak, _ in runs)
            points.append(Point(value=value, across=series.across(value), cpu=cpu / base[0], peak=peak - base[1]))
    return points


def make(name: str, value: float, names: Path, folder: Path) -> None:
    """In a process of its own: a checkpoint of those shapes. What it answers does not matter."""
    sys.path.insert(0, str(names.parents[1]))
    import make_checkpoint as maker  # pyright: ignore[reportMissingImports] (beside the golden data)

    series = next(s for s in SERIES if s.name == name)
    entries = json.loads((names / f"{series.experiment}.json").read_text())
    shapes = {key: series.shapes(shape, value) for key, shape, _ in entries}
    maker.value = lambda entry: np.full(shapes[entry["key"]], 0.01, entry["dtype"])
    maker.write(names / f"{series.experiment}.json", folder)


def fit(points: Sequence[Point], figure: str) -> tuple[float, float, float]:
    """(at 0, a unit, largest deviation as a share) of the straight line through a figure."""
    x, y = np.array([p.across for p in points]), np.array([getattr(p, figure) for p in points])
    slope, start = np.polyfit(x, y, 1)
    return start, slope, float(np.max(np.abs(start + slope * x - y) / y))


def table(found: dict[str, list[Point]], here: Machine, base: tuple[float, float], repeat: int) -> str:
    """Markdown."""
    lines = [
        f"![{TITLE}](growth.svg)",
        "",
        f"{here.processor}, {here.cores} cores; {here.date[:10]}; least of {repeat}; load average before "
        f"{here.load:.1f}; x is {base[0]:.2f} CPU seconds, the import's peak {base[1]:.0f} MiB.",
        "",
        "| | | export, CPU | peak memory above the import's |",
        "| --- | --- | --- | --- |",
    ]
    for series in SERIES:
        points = found[series.name]
        for i, p in enumerate(points):
            lines.append(
                f"| {'' if i else series.name} | {series.text(p)}{series.unit} | {p.cpu:.2f}x | {p.peak:.0f} MiB |"
            )
        cpu, peak = fit(points, "cpu"), fit(points, "peak")
        a = {"weights": "a million weights", "input": "a million pixels", "classes": "a class"}[series.name]
        lines.append(
            f"| | straight line | {cpu[0]:.2f}x {cpu[1]:+.2g}x {a}, within {cpu[2]:.0%} "
            f"| {peak[0]:.0f} MiB {peak[1]:+.2g} MiB {a}, within {peak[2]:.0%} |"
        )
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- the plot

WIDE, HIGH, LEFT, TOP = 250, 150, 62, 46  # of a field, and what is left of and above it
ASIDE, BELOW = 50, 76  # between two fields
FIGURES = {"cpu": ("CPU, x", "{:.2g}x"), "peak": ("Peak memory, MiB", "{:.0f}")}
STYLE = """\
svg { --back: #fff; --text: #1d1e20; --soft: #5c6066; --line: #e2e2de; --mark: #1f5fbf; font: 12px sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --back: #131416; --text: #e8e8e6; --soft: #a4a8ae; --line: #33363b; --mark: #8fb8ff; }
}
.back { fill: var(--back); } text { fill: var(--soft); } .title { fill: var(--text); font-weight: 600; }
.grid { stroke: var(--line); } .fit { stroke: var(--soft); stroke-dasharray: 4 3; } .mark { fill: var(--mark); }"""


def draw(found: dict[str, list[Point]]) -> str:
    """SVG: a column for each series, a row for each figure; the points and the straight line through them."""
    width, height = LEFT + len(SERIES) * (WIDE + ASIDE), TOP + len(FIGURES) * (HIGH + BELOW) - 30
    parts = [f'<rect class="back" width="{width}" height="{height}" rx="8"/>']
    for row, (figure, (label, shown)) in enumerate(FIGURES.items()):
        most = 1.1 * max(getattr(p, figure) for points in found.values() for p in points)
        for column, series in enumerate(SERIES):
            x, y = LEFT + column * (WIDE + ASIDE), TOP + row * (HIGH + BELOW)
            title = f'<text class="title" y="-12">{label} by {series.title}</text>'
            parts.append(f'<g transform="translate({x} {y})">{title}')
            parts += field(series, found[series.name], figure, shown, most)
            parts.append("</g>")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{TITLE}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def field(series: Series, points: Sequence[Point], figure: str, shown: str, most: float) -> list[str]:
    """One plot, its axes from 0."""
    far = max(p.across for p in points)

    def at(across: float, value: float) -> tuple[float, float]:
        return across / far * WIDE, HIGH - value / most * HIGH

    parts = []
    for share in (0, 0.5, 1):
        y = HIGH - share / 1.1 * HIGH
        parts.append(f'<line class="grid" x2="{WIDE}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="-8" y="{y + 4:.1f}" text-anchor="end">{shown.format(share * most / 1.1)}</text>')
    last = -100.0
    for p in points:
        x = at(p.across, 0)[0]
        if x - last > 34:
            parts.append(f'<text x="{x:.1f}" y="{HIGH + 18}" text-anchor="middle">{series.text(p)}</text>')
            last = x
    start, slope, _ = fit(points, figure)
    (x1, y1), (x2, y2) = at(0, start), at(far, start + slope * far)
    parts.append(f'<line class="fit" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    for x, y in (at(p.across, getattr(p, figure)) for p in points):
        parts.append(f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    return parts


if __name__ == "__main__":
    make(sys.argv[2], float(sys.argv[3]), *map(Path, sys.argv[4:6])) if sys.argv[1:2] == ["--make"] else main()
