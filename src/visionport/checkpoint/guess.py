"""What a checkpoint is likely to be, where it does not fit its config: from the names and shapes of its tensors.

The names are those of the Object Detection API. TF2 numbers layers: their count tells the backbone.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

LAYERS_OF_TWO_STAGES = {85: "resnet50", 187: "resnet101", 289: "resnet152", 341: "inception_resnet_v2"}
LAYERS = {
    53: "mobilenet_v1",
    103: "mobilenet_v2",
    105: "resnet50_v1",
    207: "resnet101_v1",
    309: "resnet152_v1",
}
LAYERS_OF_EFFICIENTNETS = {127: "b0", 197: "b3", 245: "b4", 291: "b5", 339: "b6"}
LAYERS_OF_CENTER_NETS = {101: "resnet_v2_50", 203: "resnet_v2_101", 105: "resnet_v1_50_fpn"}
BACKBONES = {  # a TF1 extractor's scope
    "MobilenetV1": "mobilenet_v1",
    "MobilenetV2": "mobilenet_v2",
    "InceptionV2": "inception_v2",
    "InceptionV3": "inception_v3",
    "InceptionResnetV2": "inception_resnet_v2",
    "resnet_v1_50": "resnet50",
    "resnet_v1_101": "resnet101",
    "resnet_v1_152": "resnet152",
}


def architecture(keys: Collection[str]) -> str:
    """The feature extractor, as a config's `type` names it, that has such keys; "" where nothing tells.

    "center_net ..." for those that have no type of their own.
    """
    return tf2_architecture(keys) if any(key.startswith("model/") for key in keys) else tf1_architecture(keys)


def tf2_architecture(keys: Collection[str]) -> str:
    def layers(place: str) -> int:
        """The highest number of a layer there; -1 without any."""
        pattern = re.compile(rf"model/{place}layer_with_weights-(\d+)/")
        return max((int(m[1]) for key in keys if (m := pattern.match(key))), default=-1)

    def has(place: str) -> bool:
        return any(key.startswith(f"model/{place}") for key in keys)

    found = ""
    if has("_prediction_head_dict/"):
        backbone = "hourglass_104" if has("_feature_extractor/_network/") else ""
        backbone = backbone or LAYERS_OF_CENTER_NETS.get(layers("_feature_extractor/_base_model/"), "")
        return f"center_net {backbone}".strip()
    if has("_first_stage_box_predictor"):
        first = "_feature_extractor_for_proposal_features/"
        backbone = LAYERS_OF_TWO_STAGES.get(layers(first), "")
        pyramid = LAYERS.get(layers(f"{first}classification_backbone/"), "").removesuffix("_v1")
        found = backbone or (f"{pyramid}_fpn" if pyramid else "")
        return f"faster_rcnn_{found}_keras" if found else ""
    if has("_feature_extractor/_bifpn_stage"):
        found = LAYERS_OF_EFFICIENTNETS.get(layers("_feature_extractor/_efficientnet/"), "")
        return f"ssd_efficientnet-{found}_bifpn_keras" if found else ""
    found = LAYERS.get(layers("_feature_extractor/classification_backbone/"), "")
    neck = "_fpn" if has("_feature_extractor/_fpn_features_generator") else ""
    return f"ssd_{found}{neck}_keras" if found else ""


def tf1_architecture(keys: Collection[str]) -> str:
    parts = {tuple(key.split("/")[:2]) for key in keys}
    for family, scope in (("faster_rcnn", "FirstStageFeatureExtractor"), ("ssd", "FeatureExtractor")):
        found = [
            BACKBONES[second] for first, *rest in parts if first == scope for second in rest if second in BACKBONES
        ]
        if not found:
            continue
        if family == "faster_rcnn":
            return f"faster_rcnn_{found[0]}"
        backbone = re.sub(r"^(resnet\d+)$", r"\1_v1", found[0])
        if (scope, "MnasFPN") in parts:
            return f"ssd_{backbone}_mnasfpn"
        shared = any(first.startswith("WeightShared") for first, *_ in parts)
        pyramid = any("/fpn/" in key for key in keys)
        return f"ssd_{backbone}{('_fpn' if pyramid else '_ppn') if shared else ''}"
    return ""


def other_classes(problems: Iterable[Any], num_classes: int) -> int | None:
    """The number of classes that a checkpoint has, where that alone explains why it does not fit; None otherwise.

    problems: params.Problem. A class predictor has so many numbers for each of its anchors, with one more where the
    background has one.
    """
    numbers: set[int] | None = None
    for problem in problems:
        if problem.kind != "wrong shape":
            return None
        shapes = [
            [int(n) for n in re.findall(r"\d+", text.partition("]")[0])] for text in (problem.wanted, problem.found)
        ]
        if len(shapes[0]) != len(shapes[1]):
            return None
        different = [(w, f) for w, f in zip(*shapes, strict=True) if w != f]
        if len(different) != 1:
            return None
        wanted, found = different[0]
        fitting = {
            found // anchors - more
            for more in (0, 1)
            if num_classes + more
            for anchors in [wanted // (num_classes + more)]
            if anchors and wanted == anchors * (num_classes + more) and found % anchors == 0
        }
        numbers = fitting if numbers is None else numbers & fitting
    numbers = {n for n in numbers or () if n > 0}
    return numbers.pop() if len(numbers) == 1 else None
