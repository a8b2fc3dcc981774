"""The SSD meta-architecture: features, heads, anchors, and from them detections (Liu et al. 2016).

Reference: meta_architectures/ssd_meta_arch.py. A feature extractor is a module of this package named as its type
(without "_keras"), with `NORMALIZATION`, `features` and `names`.
"""

import importlib
from types import ModuleType

import tensorflow as tf

from visionport import config
from visionport.errors import UnsupportedError, nearest
from visionport.models.heads import detections
from visionport.models.heads.box_predictors import PREDICTORS
from visionport.models.heads.detections import exported  # noqa: F401 (of every meta-architecture)
from visionport.ops import anchors as anchor_ops
from visionport.ops import boxes as box_ops
from visionport.ops import nms, nn

# Extractors, and for which of the reference's two APIs.
EXTRACTORS = {
    "ssd_mobilenet_v2": ("tf1", "tf2"),
    "ssd_mobilenet_v2_fpn": ("tf1", "tf2"),
    "ssd_mobilenet_v1": ("tf1", "tf2"),
    "ssd_mobilenet_v1_fpn": ("tf1", "tf2"),
    "ssd_mobilenet_v1_ppn": ("tf1",),
    "embedded_ssd_mobilenet_v1": ("tf1",),
    "ssd_mobilenet_v2_mnasfpn": ("tf1",),
    "ssd_inception_v2": ("tf1",),
    "ssd_inception_v3": ("tf1",),
    "ssd_pnasnet": ("tf1",),
    "ssd_spaghettinet": ("tf1",),
}
# Several types of one module, which tells them apart by the type.
EFFICIENTDETS = {f"ssd_efficientnet-b{i}_bifpn": "ssd_efficientnet_bifpn" for i in range(8)}
RESNET_FPNS = {f"ssd_resnet{depth}_v1_fpn": "ssd_resnet_v1_fpn" for depth in (50, 101, 152)}
RESNET_PPNS = {f"ssd_resnet{depth}_v1_ppn": "ssd_resnet_v1_ppn" for depth in (50, 101, 152)}
MOBILENETS_V3 = {f"ssd_mobilenet_{v}": "ssd_mobilenet_v3" for v in ("v3_large", "v3_small", "edgetpu")}
MOBILEDETS = {f"ssd_mobiledet_{v}": "ssd_mobiledet" for v in ("cpu", "dsp", "edgetpu", "gpu")}
FAMILIES = MOBILENETS_V3 | MOBILEDETS | EFFICIENTDETS | RESNET_FPNS | RESNET_PPNS
EXTRACTORS |= dict.fromkeys(MOBILENETS_V3 | MOBILEDETS, ("tf1",))
EXTRACTORS |= dict.fromkeys(EFFICIENTDETS, ("tf2",))
EXTRACTORS |= dict.fromkeys(RESNET_FPNS, ("tf1", "tf2"))
EXTRACTORS |= dict.fromkeys(RESNET_PPNS, ("tf1",))
LEAST_SIZE = 33  # pixels a side, below which the strides leave nothing


def extractor(ssd: config.Ssd) -> ModuleType:
    kind = ssd.feature_extractor.type
    name = kind.removesuffix("_keras")
    if ("tf1" if name == kind else "tf2") not in EXTRACTORS.get(name, ()):
        known = extractor_types()
        raise UnsupportedError(
            f"feature extractor {kind!r} is not supported{nearest(kind, known)}. Supported: {', '.join(known)}; "
            "see docs/support.md."
        )
    return importlib.import_module(f"visionport.models.ssd.{FAMILIES.get(name, name)}")


def extractor_types() -> list[str]:
    """Every supported feature extractor as configs name it."""
    return [name + "_keras" * (api == "tf2") for name, apis in EXTRACTORS.items() for api in apis]


def normalization(ssd: config.Ssd) -> config.Normalization:
    return extractor(ssd).NORMALIZATION


def predict(ssd: config.Ssd, s, images, true_shapes=None) -> dict:
    """The network's raw answers.

    images: float32 [b, H, W, c], preprocessed. Returns feature_maps (a list), box_encodings float32 [b, n, code],
    logits float32 [b, n, slots].
    """
    size = nn.spatial(images)
    if any(isinstance(d, int) and d < LEAST_SIZE for d in size):
        raise UnsupportedError(f"image size {size} in the config: SSD extractors need {LEAST_SIZE} pixels a side.")
    maps = extractor(ssd).features(s / "FeatureExtractor", images, ssd.feature_extractor)
    per_location = anchor_ops.per_location(ssd.anchors)
    if len(per_location) != len(maps):
        raise UnsupportedError(
            f"the config's anchor generator is for {len(per_location)} feature maps, not {len(maps)}."
        )
    head, _ = PREDICTORS[type(ssd.predictor)]
    codes, logits = head(s, maps, ssd.predictor, per_location, ssd.class_slots)
    return {"feature_maps": maps, "box_encodings": codes, "logits": logits}


def anchors(ssd: config.Ssd, prediction: dict, images, *, constant: bool):
    """The anchors of a prediction, float32 [n, 4] corners, normalised (see ops/anchors.py: generate)."""
    grids = [nn.spatial(m) for m in prediction["feature_maps"]]
    return anchor_ops.generate(ssd.anchors, grids, *nn.spatial(images), constant=constant)


def postprocess(ssd: config.Ssd, s, prediction: dict, images, true_shapes) -> dict:
    """Detections by the reference's output names; classes from 0.

    images: [b, H, W, c] as `predict` took them; true_shapes: int32 [b, 3], without padding.
    """
    boxes_in_graph = anchors(ssd, prediction, images, constant=False)
    boxes, keypoints = box_ops.decode(ssd.box_coder, prediction["box_encodings"], boxes_in_graph)
    scores = box_ops.scores(ssd.post_processing, prediction["logits"])
    foreground = scores[:, :, 1:] if ssd.has_background else scores
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    extent = tf.cast(true_shapes[:, :2], tf.float32) / size
    window = tf.concat([tf.zeros_like(extent), extent], 1)
    fields = {"multiclass_scores": scores}
    if keypoints is not None:
        fields["keypoints"] = keypoints
    found = nms.batch(ssd.post_processing.nms, boxes[:, :, None], foreground, window, fields)
    out = {
        "detection_boxes": found["boxes"],
        "detection_scores": found["scores"],
        "detection_classes": found["classes"],
        "num_detections": found["count"],
        "raw_detection_boxes": boxes,
        "raw_detection_scores": scores,
    }
    if "anchors" in found:
        out["detection_anchor_indices"] = found["anchors"]
    out |= {f"detection_{k}": found[k] for k in fields if k in found}
    return out


def reading(ssd: config.Config) -> dict:
    """See models/build.py. Where the config says so, the reference leaves boxes in the frame, padding and all."""
    resizer, nms_ = ssd.model.resizer, ssd.model.post_processing.nms
    padded = isinstance(resizer, config.PadToMultiple) or getattr(resizer, "pad_to_max", False)
    in_frame = padded and not nms_.change_coordinate_frame
    return detections.reading(ssd) | {"boxes": "frame" if in_frame else "picture"}


def names(ssd: config.Ssd) -> dict[str, str]:
    """Canonical scope -> object path in a TF2 checkpoint."""
    _, head_names = PREDICTORS[type(ssd.predictor)]
    maps = len(anchor_ops.per_location(ssd.anchors))
    return extractor(ssd).names(ssd.feature_extractor) | head_names(ssd.predictor, maps)


def known_unread(ssd: config.Ssd):
    """Is this checkpoint key one that inference does not need? An extractor may list beginnings of such keys."""
    unread = getattr(extractor(ssd), "UNREAD", ())
    return lambda key: key.startswith(unread)
