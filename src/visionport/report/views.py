"""An export as the report shows it: what the page is made of, from the manifest, the checks and the answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionport.config import Config
from visionport.formats import format_of
from visionport.inputs import preprocessing
from visionport.progress import size_of
from visionport.report import page
from visionport.report.page import ArtifactView, PictureView, Report, SignatureView, TensorView
from visionport.tasks import task_of
from visionport.tasks.base import Task


def write_report(
    path: Path, folder: Path, content: Mapping[str, Any], checks, answers, pictures, config: Config, warnings
):
    """Writes the report of an export in `folder`.

    content: the manifest's. checks, answers: of verification/run.py. pictures: name -> uint8 [h, w, 3].
    """
    task, model = task_of(config.task), content["model"]
    report = Report(
        title=f"{model['architecture']}, {model['num_classes']} classes",
        architecture=model["architecture"],
        config=str(config.path),
        checkpoint=content["options"]["checkpoint"],
        step=model["checkpoint_step"],
        parameters=model["parameters"],
        classes=model["num_classes"],
        input=preprocessing.in_words(config.model.resizer),
        warnings=tuple(warnings),
        artifacts=tuple(view_artifact(a, folder, content, checks, task) for a in content["artifacts"]),
        pictures=tuple(view_picture(name, pictures[name], row, task, config) for name, row in answers.items()),
        noun=task.noun,
    )
    page.write_report(path, report)


def view_artifact(
    artifact: Mapping[str, Any], folder: Path, content: Mapping[str, Any], checks, task: Task
) -> ArtifactView:
    fmt = format_of(artifact["format"])
    return ArtifactView(
        title=fmt.title,
        path=artifact["path"],
        size=size_of(folder / artifact["path"]),
        checks=tuple(c for c in checks if c.artifact == artifact["format"]),
        signatures=tuple(
            SignatureView(name=s["name"], inputs=view_tensors(s["inputs"]), outputs=view_tensors(s["outputs"]))
            for s in artifact["signatures"]
        ),
        snippet=fmt.snippet(artifact, content, task),
    )


def view_tensors(tensors) -> tuple[TensorView, ...]:
    return tuple(TensorView(name=t["name"], dtype=t["dtype"], shape=shape_text(t["shape"])) for t in tensors)


def shape_text(shape) -> str:
    return "[" + ", ".join("?" if d < 0 else str(d) for d in shape) + "]"


def view_picture(name: str, picture, row: Mapping[str, Any], task: Task, config: Config) -> PictureView:
    """The picture with each answer that there is."""
    labels = config.labels or {}
    drawn = [
        (title, task.draw(picture, answer, labels, 0.3))
        for title, answer in row.items()
        if all(k in answer for k in task.outputs)
    ]
    return PictureView(name=name, columns=tuple(drawn))
