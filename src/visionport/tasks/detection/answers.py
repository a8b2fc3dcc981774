"""A detector's outputs as the answer to one picture.

An answer holds detection_boxes [m, 4] as (ymin, xmin, ymax, xmax), normalised; detection_scores [m];
detection_classes [m]; what else a detection may have (ATTRIBUTES); and raw heads where the artifact shows them. An
artifact that gives raw heads alone has no detections.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from visionport.errors import ArtifactError

COUNT = "num_detections"
BOXES, SCORES, CLASSES = "detection_boxes", "detection_scores", "detection_classes"
ROWS = "detection_"  # what such outputs begin with: [b, m, ...], of which the first `num_detections` count
KEYPOINTS = "detection_keypoints"
MASKS = "detection_masks"
OUTER = "detection_outer_boxes"  # larger boxes, which the masks are then of
PROPOSALS = "proposal_boxes"  # [b, n, 4]
# What two-stage models list by proposal, or by detection; other tensors of the same length are listed like them.
LISTS = (PROPOSALS, "raw_detection_boxes", "decoded_boxes", "mask_predictions")
INFO = "image_info"  # [b, 4, 2]: the picture's size, the one wanted, the scales, the offset

# What a detection may have besides box, score and class.
ATTRIBUTES = (
    KEYPOINTS,
    "detection_keypoint_scores",
    "detection_keypoint_depths",
    MASKS,
    OUTER,
    "detection_surface_coords",
    "detection_embeddings",
    "detection_temporal_offsets",
)


def read_answer(
    outputs: Mapping[str, np.ndarray], reading: Mapping[str, Any], extent: np.ndarray, row: int = 0
) -> dict[str, np.ndarray]:
    """One picture's detections, without rows of padding, and its other outputs. See tasks/base.py.

    reading: classes_from, the first class's number in the outputs; boxes, of the "picture", of the "frame" with its
    padding, or in pixels of the "scaled" picture, of which `image_info` tells; frame, how high and wide the frame is in
    the boxes' unit, by default 1; drops_empty, whether boxes outside the picture are left to whoever reads; given,
    inputs besides the picture.
    """
    if "boxes" in reading.get("given", ()):  # masks of given boxes are no detection's
        outputs = {"masks" if k == MASKS else k: v for k, v in outputs.items()}
    lists = [np.shape(outputs[k])[:2] for k in (PROPOSALS, BOXES) if k in outputs]  # so many of each picture
    rest = {k: own_rows(v, row, lists) for k, v in outputs.items() if k != COUNT}
    if COUNT not in outputs or BOXES not in rest:
        return rest
    count = read_count(outputs, row)
    found = {k: v[:count] if k.startswith(ROWS) else v for k, v in rest.items()}
    if moves := 1 - reading.get("classes_from", 1):
        found[CLASSES] = found[CLASSES] + np.float32(moves)
    if reading.get("boxes") == "scaled":
        original, _, scale, _ = rest[INFO]
        for name in {BOXES, OUTER} & set(found):
            found[name] = np.clip(found[name] / np.tile(original * scale, 2), 0, 1).astype(np.float32)
    if reading.get("boxes") == "frame":
        extent = extent * reading.get("frame", (1, 1))
        found.pop(INFO, None)  # it tells of the frame, too
        for name in {BOXES, OUTER} & set(found):
            found[name] = (found[name] / np.tile(extent, 2)).astype(np.float32)
            if not reading.get("drops_empty"):
                found[name] = np.clip(found[name], 0, 1)
        if KEYPOINTS in found:
            found[KEYPOINTS] = (found[KEYPOINTS] / extent).astype(np.float32)
    return drop_empty(found) if reading.get("drops_empty") else found


def own_rows(value: np.ndarray, row: int, lists: Sequence[tuple[int, ...]]):
    """What a picture has of an output: its row, or its part where an output lists the proposals of all pictures."""
    if not np.ndim(value):
        return value
    for shape in lists:
        count = shape[-1]
        if len(shape) == 2 and count > 1 and len(value) == shape[0] * count:
            return value[row * count : (row + 1) * count]
    return value[row]


def read_count(outputs: Mapping[str, np.ndarray], row: int) -> int:
    """How many rows count. Raises ArtifactError for outputs that are no detections, as a stranger's may be."""
    counts, boxes = np.asarray(outputs[COUNT]).reshape(-1), np.asarray(outputs[BOXES])
    if boxes.ndim != 3 or boxes.shape[2] != 4 or not row < len(counts) or not 0 <= counts[row] <= boxes.shape[1]:
        shown = f"{BOXES} {list(boxes.shape)} and {COUNT} {counts[:8].tolist()}"
        raise ArtifactError(f"the model's outputs are no detections: {shown}.")
    return int(counts[row])


def drop_empty(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Detections cut to the picture, those with nothing left dropped: what the TFLite op leaves undone."""
    boxes = np.clip(found[BOXES], 0, 1)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    found = found | {BOXES: boxes}
    return {k: v[kept] if k.startswith(ROWS) else v for k, v in found.items()}
