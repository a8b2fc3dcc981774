"""What detect.js is told of suppression: the config's own, of boxes and scores that the graph gives."""

from typing import Any

import numpy as np

from visionport.errors import UnsupportedError
from visionport.formats import heads
from visionport.formats.base import Reading

# What detect.js gives.
NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
SUPPRESSED = ("ssd", "retinanet")  # families whose graph ends before it


def check(config) -> None:
    """Raises UnsupportedError for a suppression that detect.js does not have."""
    if config.family == "ssd":
        soft = config.model.post_processing.nms.soft_sigma
        what = "soft NMS: set soft_nms_sigma: 0" if soft else ""
    else:
        generator = config.model.detection_generator
        soft = generator.nms_version == "v1" and generator.soft_nms_sigma
        what = "soft NMS: set soft_nms_sigma: null" if soft else ""
        if generator.nms_version == "v3":
            what = "nms_version v3: take v2 or v1"
        elif generator.nms_version == "v2" and generator.nms_iou_threshold < HALF:
            what = f"what nms_version v2 does at nms_iou_threshold {generator.nms_iou_threshold:g}: take v1"
        elif not generator.apply_nms:
            what = "apply_nms: false: leave it out"
    if what:
        raise UnsupportedError(f"{config.path}: detect.js does not do {what}, or add --tfjs-head decoded.")


HALF = 0.5  # below, the tiles of `v2` show; see ops/multiclass_nms.py


def rules_of(config) -> dict[str, Any] | None:
    """What stands in model.json; None where the graph gives detections itself."""
    return RULES[config.family](config) if config.family in SUPPRESSED else None


def of_ssd(config) -> dict[str, Any]:
    nms = config.model.post_processing.nms
    return {
        "boxes": heads.ALL_BOXES[0],
        "scores": heads.ALL_BOXES[1],
        "first_column": int(config.model.has_background),
        "first_class": 0,
        "divide_by": [1, 1],
        "class_agnostic": nms.class_agnostic,
        "max_per_class": nms.max_total if nms.class_agnostic else nms.max_per_class,
        "max_total": nms.max_total,
        "iou_threshold": beyond(nms.iou_threshold),
        "score_threshold": float(np.float32(nms.score_threshold)),
        "candidates": None,
        "drops_empty": not nms.combined,
        "drops_zero_boxes": False,
    }


def of_retinanet(config) -> dict[str, Any]:
    from visionport.models.retinanet.architecture import limits

    generator, model = config.model.detection_generator, config.model
    own = limits(generator)
    from_threshold = generator.nms_version == "v2" and not generator.use_class_agnostic_nms
    version = generator.nms_version
    return {
        "boxes": heads.UNSUPPRESSED[0],
        "scores": heads.UNSUPPRESSED[1],
        "first_column": 0,
        "first_class": 1,
        "divide_by": [1, 1] if model.output_normalized_coordinates else list(model.resizer.padded),
        "class_agnostic": version == "v2" and generator.use_class_agnostic_nms,
        "max_per_class": own.size,
        "max_total": own.size,
        "iou_threshold": float(np.float32(own.overlap)) if from_threshold else beyond(own.overlap),
        "score_threshold": float(np.float32(own.score)),
        "candidates": own.top_k if version in ("v1", "v2") else None,
        "drops_empty": False,
        "drops_zero_boxes": from_threshold,
    }


RULES = {"ssd": of_ssd, "retinanet": of_retinanet}


def beyond(threshold: float) -> float:
    """TensorFlow.js suppresses from its threshold on, TensorFlow above it."""
    return float(np.nextafter(np.float32(threshold), np.float32(2)))


def reading(config, name: str) -> Reading:
    """Boxes are of the frame, as what is preprocessed does not tell where the picture ends."""
    rules = RULES[config.family](config)
    answers = {"classes_from": rules["first_class"], "boxes": "frame", "drops_empty": rules["drops_empty"]}
    raw = heads.ALL_BOXES if config.family == "ssd" else heads.UNSUPPRESSED
    return Reading(
        input=name,
        type="preprocessed",
        answers=answers,
        outputs=NAMES,
        probes=raw,
        dtypes=dict.fromkeys(NAMES, "float32"),
    )
