"""Does an artifact give the checkpoint's own answers? Raw heads numerically, detections matched box by box."""

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from visionport.config import Ssd
from visionport.errors import ArtifactError
from visionport.tasks.detection.answers import ATTRIBUTES

Answer = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Largest differences that rounding explains."""

    raw: float  # of raw heads, times the tensor's standard deviation; at least as an absolute difference, `floor`
    floor: float
    score: float  # of a matched detection
    box: float  # of its corners, normalised
    matched: float  # share of detections that must have their twin
    judged: bool = True  # False: what is measured is told; rounding alone may explain any of it
    moved: float = 0.0  # not 0: judged by what moving the picture so far, of 255, does to the source itself


# An overlap at NMS's threshold may fall either way, so one detection in twenty may be another.
TOLERANCES = {
    # The same operations in the same runtime.
    "saved_model": Tolerance(raw=1e-5, floor=1e-5, score=1e-5, box=1e-5, matched=0.95),
    # Constants let TensorFlow fuse batch norms, which rounds otherwise.
    "frozen_graph": Tolerance(raw=1e-5, floor=1e-5, score=1e-5, box=1e-5, matched=0.95),
    # Another runtime, with other kernels and batch norms folded into weights.
    "tflite": Tolerance(raw=1e-4, floor=1e-5, score=1e-4, box=1e-4, matched=0.95),
}

# A network with fake quantisation rounds after every layer, and a rounding that falls the other way moves all that
# follows. How far depends on the network, so its checkpoint is asked again about a moved picture: median and 99th
# percentile of raw heads may differ by twice what that does, and twice as many detections may be without a twin.
NOISE = 2
# Moved by what the order of operations in float32 does.
FAKE_QUANTIZED = Tolerance(raw=0, floor=1e-5, score=0.02, box=0.02, matched=0.95, moved=1e-4)

# What quantised TFLite files lose, and pixels rounded after resizing, depends on the model and the picture. It is told,
# with a twin counted where score and box are what a user would call the same; mean average precision is the judge.
QUANTIZED = {
    "pixels": Tolerance(raw=1e-2, floor=1e-2, score=0.02, box=0.02, matched=0.95, judged=False),  # a uint8 input
    # A quantisation-aware checkpoint's own 8 bits: the same roundings, and those of pixels.
    "trained": Tolerance(raw=0, floor=1e-2, score=0.1, box=0.05, matched=0.95, moved=0.5),
    "float16": Tolerance(raw=1e-2, floor=1e-3, score=0.02, box=0.01, matched=0.95, judged=False),
    **dict.fromkeys(
        ("dynamic", "int8", "uint8", "int16x8"),
        Tolerance(raw=1e-1, floor=1e-2, score=0.1, box=0.05, matched=0.9, judged=False),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison. `measured` must be at most `bound`, or at least where `at_least`; without bound it only tells."""

    artifact: str  # its format
    image: str
    what: str
    measured: float
    bound: float | None
    at_least: bool = False
    notes: str = ""

    @property
    def ok(self) -> bool:
        if self.bound is None:
            return True
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def tolerances_for(kinds: Iterable[str], *, quantized: bool, loss: str = "") -> dict[str, Tolerance]:
    """By format. quantized: the checkpoint is quantisation-aware; loss: of the TFLite file, a key of QUANTIZED."""
    found = {kind: FAKE_QUANTIZED if quantized else TOLERANCES[kind] for kind in kinds}
    return found | ({"tflite": QUANTIZED[loss]} if "tflite" in found and loss else {})


def compare(
    artifact: str,
    image: str,
    source: Answer,
    found: Answer,
    *,
    tolerance: Tolerance,
    lossy: str = "",
    moved: Answer | None = None,
) -> list[Check]:
    """Every raw head that both show, the detections, and what else each pair of twins has (ATTRIBUTES).

    source, found: as formats/__init__.py describes an answer. lossy: why detections may differ by design (fast NMS):
    then their share is told, not judged. moved: the source's answer to the moved picture, see NOISE.
    """
    checks = []
    for name in sorted(k for k in source if k in found and not k.startswith("detection_")):
        a, b = np.asarray(source[name], np.float64), np.asarray(found[name], np.float64)
        if np.ptp(a) and b.size and not np.ptp(b):
            raise ArtifactError(f"{artifact}: {name} is {b.flat[0]:g} everywhere on {image}. Please report it.")
        if moved and a.shape == b.shape and np.isfinite(b).all():
            differences = np.abs(a - b), np.abs(a - np.asarray(moved[name], np.float64))
            for share, what in ((50, "median"), (99, "99th percentile")):
                worst, noise = (float(np.percentile(d, share)) for d in differences)
                bound, what = max(tolerance.floor, NOISE * noise), f"{name}, {what}"
                checks.append(Check(artifact=artifact, image=image, what=what, measured=worst, bound=bound))
            continue
        checks.append(difference(artifact, image, name, a, b, tolerance=tolerance))
    if "detection_boxes" not in found:  # a TFLite file without the op
        return checks
    pairs, count = twins(source, found, tolerance)
    share = len(pairs) / count if count else 1.0
    least = tolerance.matched
    if moved:
        kept, of = twins(source, moved, tolerance)
        least = min(least, max(0.0, 1 - NOISE * (1 - len(kept) / of))) if of else least
    checks.append(
        Check(
            artifact=artifact,
            image=image,
            what="detections matched",
            measured=share,
            bound=None if lossy or not tolerance.judged else least,
            at_least=True,
            notes=", ".join(n for n in (f"of {count}", lossy) if n),
        )
    )
    for name in ATTRIBUTES:
        if pairs and name in source and name in found:
            a = np.asarray(source[name], np.float64)[[i for i, _ in pairs]]
            b = np.asarray(found[name], np.float64)[[j for _, j in pairs]]
            bound = max(tolerance.floor, tolerance.raw * float(a.std()))
            same = float(np.mean(np.abs(a - b) <= bound)) if a.shape == b.shape else 0.0
            notes, least = f"values within {bound:.1e}", tolerance.matched if tolerance.judged else None
            judgement = {"measured": same, "bound": least, "at_least": True, "notes": notes}
            checks.append(Check(artifact=artifact, image=image, what=name, **judgement))
    return checks


def difference(artifact: str, image: str, name: str, source, found, *, tolerance: Tolerance) -> Check:
    """The worst difference of one tensor; another shape is told and always judged."""
    a, b = np.asarray(source, np.float64), np.asarray(found, np.float64)
    same = a.shape == b.shape
    worst = float(np.max(apart(a, b), initial=0)) if same else float("inf")
    spread = float(a[np.isfinite(a)].std()) if np.isfinite(a).any() else 0.0
    bound = max(tolerance.floor, tolerance.raw * spread) if tolerance.judged or not same else None
    notes = "" if same else f"shape {b.shape}, the source's {a.shape}"
    return Check(artifact=artifact, image=image, what=name, measured=worst, bound=bound, notes=notes)


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Absolute differences; none between two infinities, as boxes that overflow in source and artifact alike."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.where(a == b, 0.0, np.abs(a - b)), nan=np.inf, posinf=np.inf)


def twins(source: Answer, found: Answer, tolerance: Tolerance) -> tuple[list[tuple[int, int]], int]:
    """Pairs of detections of both sides with the same class, score and box within the tolerance, and of how many.

    A list may end earlier than the other, where the sides differ in what takes a place in it: what scores no better
    than the last of the shorter list is left aside.
    """
    a, b = (_rows(x) for x in (source, found))
    judged = [np.ones(len(x[1]), bool) for x in (a, b)]
    if len(a[1]) != len(b[1]):
        short = min((a, b), key=lambda x: len(x[1]))
        if len(short[1]):
            judged = [x[1] > short[1].min() + tolerance.score for x in (a, b)]
    pairs: dict[int, int] = {}  # of b, of a
    for i in np.argsort(-a[1], kind="stable"):
        near = judged[1] & (b[2] == a[2][i]) & (np.abs(b[1] - a[1][i]) <= tolerance.score)
        for j in np.flatnonzero(near) if judged[0][i] else ():
            if j not in pairs and np.max(np.abs(b[0][j] - a[0][i])) <= tolerance.box:
                pairs[int(j)] = int(i)
                break
    return [(i, j) for j, i in pairs.items()], max(int(k.sum()) for k in judged)


def _rows(answer: Answer):
    return [np.asarray(answer[f"detection_{k}"]) for k in ("boxes", "scores", "classes")]


def verify(
    source: Callable,
    artifacts: Mapping[str, Callable],
    images: Mapping[str, np.ndarray],
    lossy: Mapping[str, str],
    tolerances: Mapping[str, Tolerance] = MappingProxyType({}),
):
    """Runs source and artifacts on every image: ([Check], {image: {title: answer}}).

    source: uint8 [h, w, 3] -> answer; artifacts: {format: function that loads such a one}, each in memory while it is
    asked and no longer; lossy: see `compare`;
    tolerances: of formats, where not those of TOLERANCES. source takes float32 too, for moved pictures.
    """
    checks: list[Check] = []
    answers: dict[str, dict[str, Answer]] = {}
    moved: dict[tuple[str, float], Answer] = {}
    for name, image in images.items():
        answers[name] = {"checkpoint": source(image)}
    for kind, load in artifacts.items():
        tolerance = tolerances.get(kind) or TOLERANCES[kind]
        run = load()
        for name, image in images.items():
            answers[name][kind] = run(image)
            pair = answers[name]["checkpoint"], answers[name][kind]
            key = name, tolerance.moved
            if tolerance.moved and key not in moved:
                moved[key] = source(image.astype(np.float32) + np.float32(tolerance.moved))
            how = {"tolerance": tolerance, "lossy": lossy.get(kind, ""), "moved": moved.get(key)}
            checks += compare(kind, name, *pair, **how)
        del run
        gc.collect()  # TensorFlow's graphs refer to themselves, and hold the weights
    return checks, answers


def source_of(model, *, heads: bool = False, more: Mapping[str, Any] = MappingProxyType({})) -> Callable:
    """The model as it was built from the checkpoint; with `heads`, also what goes into TFLite's op.

    more: names and specs of inputs besides the image (signatures.py: more_specs).
    """
    import tensorflow as tf

    from visionport.inputs.side_inputs import example
    from visionport.models.ssd import architecture as ssd
    from visionport.tasks.detection.answers import answer, more_feed

    def run(image):
        batch = model.detect.inputs[0].shape[0] or 1
        prepared, shapes = model.preprocess(tf.repeat(tf.constant(image[None]), batch, axis=0))
        given = [tf.constant(v) for v in example(model.side_inputs).values()]
        given += [tf.constant(more_feed(name, batch)) for name in more]
        outputs = {k: v.numpy() for k, v in model.trace(more)(prepared, shapes, *given).items()}
        if heads:
            raw = model.predict(prepared, shapes)
            if isinstance(model.config.model, Ssd):
                outputs["box_encodings"] = raw["box_encodings"].numpy()
                outputs["class_scores"] = ssd.box_ops.scores(model.config.model.post_processing, raw["logits"]).numpy()
            else:  # CenterNet's maps are called after their heads
                outputs |= {k.rpartition("/")[0]: v.numpy() for k, v in raw.items() if k != "feature_maps"}
        return answer(outputs, more)

    return run


def record(checks: Iterable[Check]) -> dict:
    """JSON-ready: the verdict and every check."""
    checks = list(checks)
    rows = [asdict(c) | {"measured": float(f"{c.measured:.3g}"), "ok": c.ok} for c in checks]
    return {"agrees": agree(checks), "checks": rows}


def agree(checks: Iterable[Check]) -> bool:
    return all(c.ok for c in checks)
