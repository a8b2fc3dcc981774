"""Mean average precision of artifacts on labelled pictures, by COCO's own evaluation (pycocotools)."""

import contextlib
import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError, OptionError
from visionport.tasks import records
from visionport.tasks.base import Measure
from visionport.tasks.detection.answers import BOXES, CLASSES, SCORES


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A picture and what is in it. image: uint8 [h, w, 3]; boxes: float64 [n, 4] as ymin, xmin, ymax, xmax, 0 to 1;
    classes: int [n], from 1; crowd: bool [n], groups that are neither hits nor misses."""

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True, kw_only=True)
class MeanAveragePrecision:
    """See tasks/base.py: Metric. The value is at IoU 0.5; COCO's main figure stands beside it."""

    name: str = "mAP@0.5"

    def check(self, path: Path) -> None:
        if importlib.util.find_spec("pycocotools") is None:
            raise OptionError("--evaluate needs pycocotools: pip install 'visionport[evaluate]'.")
        records.check_file(path)

    def evaluate(
        self, runs: Mapping[str, Callable], path: Path, size: tuple[int, int] | None = None
    ) -> dict[str, Measure]:
        return evaluate(runs, path, size)


def labelled(path: Path) -> Iterator[Labelled]:
    """The pictures of a TFRecord of tf.Examples as the Object Detection API's dataset tools write them.

    Raises InputError for what holds no labels.
    """
    found = 0
    for i, (picture, features) in enumerate(records.labelled(path)):
        corners = [features.floats(f"image/object/bbox/{k}") for k in ("ymin", "xmin", "ymax", "xmax")]
        classes, crowd = (features.integers(f"image/object/{k}") for k in ("class/label", "is_crowd"))
        check_labels(f"{path}: record {i}", corners, classes)
        found += len(classes)
        boxes = np.stack(corners, 1).astype(np.float64)
        crowd = crowd.astype(bool) if len(crowd) == len(classes) else np.zeros(len(classes), bool)
        yield Labelled(image=picture, boxes=boxes, classes=classes, crowd=crowd)
    if not found:
        raise InputError(f"{path}: not one of its pictures has a label in 'image/object/class/label'.")


def check_labels(where: str, corners: Sequence[np.ndarray], classes: np.ndarray) -> None:
    if len({len(v) for v in (*corners, classes)}) > 1:
        raise InputError(f"{where} has {len(classes)} labels for {len(corners[0])} boxes.")
    if len(classes) and classes.min() < 1:
        raise InputError(f"{where} has a box of class {classes.min()}; classes are from 1.")
    if not all(np.isfinite(v).all() for v in corners):
        raise InputError(f"{where} has a box whose corners are no numbers.")


def evaluate(runs: Mapping[str, Callable], path: Path, size: tuple[int, int] | None = None) -> dict[str, Measure]:
    """Each of `runs`, uint8 [h, w, 3] -> answer, on every picture of a TFRecord. size: the only one that they take."""
    truth: list[dict[str, Any]] = []
    shapes = []
    found: dict[str, list[dict[str, Any]]] = {title: [] for title in runs}
    for number, one in enumerate(labelled(path), 1):
        shape = one.image.shape[:2]
        records.check_size(path, one.image, size)
        shapes.append(shape)
        for box, label, crowd in zip(one.boxes, one.classes, one.crowd, strict=True):
            x, y, w, h = rectangle(box, shape)
            row = {"id": len(truth) + 1, "bbox": [x, y, w, h], "area": w * h, "iscrowd": int(crowd)}
            truth.append(row | {"image_id": number, "category_id": int(label)})
        for title, run in runs.items():
            answer = run(one.image)
            rows = zip(*(answer[k] for k in (BOXES, SCORES, CLASSES)), strict=True)
            for box, score, label in rows:
                row = {"image_id": number, "category_id": int(label), "bbox": rectangle(box, shape)}
                found[title].append(row | {"score": float(score)})
    return {title: precision(shapes, truth, rows) for title, rows in found.items()}


def rectangle(box, shape) -> list[float]:
    """COCO's x, y, width, height in pixels."""
    ymin, xmin, ymax, xmax = (float(v) for v in box)
    height, width = shape
    return [xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height]


def precision(shapes, truth, found) -> Measure:
    """What COCO's evaluation says of detections, at most 100 a picture."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not found:
        return Measure(value=0.0, more="IoU 0.5 to 0.95: 0.0000")
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO()
        labels.dataset = {
            "images": [{"id": i, "height": h, "width": w} for i, (h, w) in enumerate(shapes, 1)],
            "annotations": truth,
            "categories": [{"id": c} for c in sorted({row["category_id"] for row in truth})],
        }
        labels.createIndex()
        judged = COCOeval(labels, labels.loadRes(found), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return Measure(value=float(judged.stats[1]), more=f"IoU 0.5 to 0.95: {judged.stats[0]:.4f}")
