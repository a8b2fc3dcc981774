"""An export as the report shows it: what the page is made of, from the manifest, the checks and the answers."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionport.config import Config
from visionport.formats import format_of
from visionport.inputs import preprocessing
from visionport.manifest import file_record
from visionport.report import page
from visionport.report.command import command_of
from visionport.report.page import ArtifactView, Column, PictureView, Report, SignatureView, TensorView
from visionport.tasks import task_of
from visionport.tasks.base import Task, preview_of
from visionport.verification.checks import Check
from visionport.verification.run import SOURCE, Findings

MIN_SCORE = 0.3  # of what is drawn


def write_report(
    path: Path,
    folder: Path,
    content: Mapping[str, Any],
    found: Findings,
    pictures: Mapping[str, Any],
    config: Config,
    warnings: Sequence[str],
    *,
    timed: bool = False,
    own: bool | None = None,
    layers=(),
    overwrite: bool = False,
):
    """Writes the report of an export in `folder`.

    content: the manifest's. pictures: name -> uint8 [h, w, 3]. timed: with the date and what a picture takes here, so
    that the page is another each time. own: the pictures are the user's; None: as the manifest's options say.
    layers: what each needs, see graph/flops.py; none where nothing was counted. overwrite: the page may be there.
    """
    task, model, options = task_of(config.task), content["model"], content["options"]
    own = bool(options["images"]) if own is None else own
    shown = {name: row for name, row in found.answers.items() if name in pictures}
    report = Report(
        title=f"{model['architecture']}, {model['num_classes']} classes",
        architecture=model["architecture"],
        config=str(config.path),
        checkpoint=options["checkpoint"],
        step=model["checkpoint_step"],
        parameters=model["parameters"],
        classes=model["num_classes"],
        input=preprocessing.in_words(config.model.resizer),
        warnings=(*warnings, *missing(config, found, own)),
        artifacts=tuple(view_artifact(a, folder, content, found, task, timed=timed) for a in content["artifacts"]),
        pictures=tuple(
            view_picture(name, pictures[name], row, found.checks, task, config) for name, row in shown.items()
        ),
        noun=task.noun,
        layers=view_layers(layers),
        versions=f"visionport {content['visionport']}, TensorFlow {content['tensorflow']}",
        date=time.strftime("%Y-%m-%d %H:%M %Z") if timed else "",
        command=command_of(options),
    )
    page.write_report(path, report, overwrite=overwrite)


def view_layers(layers, most: int = 20) -> tuple[tuple[str, str, str], ...]:
    """The layers that need most: (name, float operations, share), and all of them together."""
    from visionport.graph.flops import short

    total = sum(layer.flops for layer in layers)
    rows = [("all layers", total), *((e.name, e.flops) for e in sorted(layers, key=lambda e: -e.flops)[:most])]
    return tuple((name, short(count), f"{count / total:.1%}") for name, count in rows) if total else ()


def missing(config: Config, found: Findings, own: bool) -> list[str]:
    """What the user would have to give for the report to tell more."""
    out = []
    if not config.labels and not any("label" in w for w in config.warnings):
        out.append("The classes' names are not known: answers have numbers. Name a label map with --labels.")
    if found.answers and not own:
        out.append("Verified on bundled pictures, which may show nothing that the model knows. Give your own: --image.")
    return out


def view_artifact(
    artifact: Mapping[str, Any], folder: Path, content: Mapping[str, Any], found: Findings, task: Task, *, timed: bool
) -> ArtifactView:
    fmt = format_of(artifact["format"])
    checks = tuple(c for c in found.checks if c.artifact == artifact["format"])
    file = hashed(folder / artifact["path"])
    return ArtifactView(
        title=fmt.title,
        path=artifact["path"],
        size=format_of(artifact["format"]).size(folder / artifact["path"]),
        checks=checks,
        signatures=tuple(
            SignatureView(name=s["name"], inputs=view_tensors(s["inputs"]), outputs=view_tensors(s["outputs"]))
            for s in artifact["signatures"]
        ),
        snippet=fmt.snippet(artifact, content, task),
        seconds=found.seconds.get(artifact["format"]) if timed else None,
        accuracy=accuracy_of(checks),
        sha256=file_record(file)["sha256"],
        hashed=file.name,
    )


def hashed(path: Path) -> Path:
    """The file whose SHA-256 is shown of an artifact: itself, or of a folder its graph."""
    return path if path.is_file() else next(iter(sorted(path.glob("*.pb"), reverse=True)))


def accuracy_of(checks: Sequence[Check]) -> str:
    """The task's metric on labelled pictures, where it was measured: "mAP@0.5 0.9737 of 0.9742"."""
    return next((f"{c.what.removesuffix(' lost')} {c.notes}" for c in checks if c.what.endswith(" lost")), "")


def view_tensors(tensors) -> tuple[TensorView, ...]:
    return tuple(TensorView(name=t["name"], dtype=t["dtype"], shape=shape_text(t["shape"])) for t in tensors)


def shape_text(shape) -> str:
    return "[" + ", ".join("?" if d < 0 else str(d) for d in shape) + "]"


def view_picture(
    name: str, picture, row: Mapping[str, Any], checks: Sequence[Check], task: Task, config: Config
) -> PictureView:
    """The picture with each answer that there is; those that agree with the checkpoint's share one."""
    groups: list[tuple[list[str], Any, str]] = []
    for who, answer in row.items():
        if any(k not in answer for k in task.outputs):
            continue
        title = "checkpoint" if who == SOURCE else format_of(who).title
        image, note = preview_of(task, picture, answer, config.labels or {}, MIN_SCORE)
        same = groups and (looks_same(groups[0][1], image) or all_agree(checks, who, name))
        if same:
            groups[0][0].append(title)
        else:
            groups.append(([title], image, note))
    return PictureView(name=name, columns=tuple(Column(titles=tuple(t), image=i, note=n) for t, i, n in groups))


def all_agree(checks: Sequence[Check], who: str, picture: str) -> bool:
    """Whether each thing that was measured of an artifact on that picture was judged, and agrees."""
    states = {c.state for c in checks if c.artifact == who and c.picture == picture}
    return states == {"agrees"}


def looks_same(a, b) -> bool:
    return a.size == b.size and a.tobytes() == b.tobytes()
