"""What of a model an artifact of another runtime gives: its detections, or what these are made of.

detections: what the model gives, suppression and all. decoded: boxes and scores of all anchors or proposals. raw: what
the network itself says, to be decoded by whoever takes it. Any model that is no detector has its answers alone.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from visionport.errors import OptionError, UnsupportedError
from visionport.formats.base import Format
from visionport.formats.options import HEADS


class Headed(Format):
    """A format that gives any of HEADS: its option is called by its own name, as onnx_head."""

    def head(self, options) -> str:
        return getattr(options, f"{self.name}_head")

    def graph_head(self, config, options) -> str:
        """What the network's graph itself gives, where the runner does the rest."""
        return self.head(options)

    def answers_in_full(self, options) -> bool:
        return self.head(options) == HEADS[0]

    def left_out(self, model, options, outputs: Sequence[str]) -> Mapping[str, str]:
        if self.answers_in_full(options):
            return {}
        held = names_of(model.config, self.head(options))
        reason = f"--{self.name}-head {self.head(options)} gives what detections are made of"
        return {name: reason for name in outputs if name not in held}

    def probes(self, model, options) -> Callable | None:
        head = self.graph_head(model.config, options)
        if head == HEADS[0]:
            return None

        def probe(images, true_shapes, prediction):
            return outputs_of(model, head, images, true_shapes, prediction)

        return probe


def check(config, head: str, option: str) -> None:
    """Raises OptionError for what the model does not have. option: by which `head` is asked for."""
    known = (HEADS[0], *FAMILIES.get(config.family, {}))
    if head not in known:
        raise OptionError(
            f"{option} {head}: {config.architecture} has {' and '.join(known)}"
            f"{'' if len(known) > 1 else ' only, as any model that is no detector'}."
        )


def answer_of(model, head: str) -> Callable:
    """A function of what `Model.infer` takes -> the outputs by name, to be traced."""
    if head == HEADS[0]:
        return model.infer

    def answer(images, true_shapes, *side, **more):
        return outputs_of(model, head, images, true_shapes, model.predict(images, true_shapes, *side))

    return answer


def names_of(config, head: str) -> tuple[str, ...]:
    """What the outputs of such a head are called, but for the model's own."""
    if head == HEADS[0]:
        return ()
    _, names = FAMILIES[config.family][head]
    return names if isinstance(names, tuple) else names(config)


def outputs_of(model, head: str, images, true_shapes, prediction) -> dict[str, Any]:
    """The outputs of such a head by name, of a raw prediction (see Model.predict)."""
    import tensorflow as tf

    find, _ = FAMILIES[model.config.family][head]
    found = find(model, images, true_shapes, prediction)
    return {name: tf.identity(value) for name, value in found.items()}


def ssd_raw(model, images, true_shapes, prediction) -> dict[str, Any]:
    """box_encodings [b, n, code], class_scores [b, n, classes], and anchors [n, 4] as normalised corners."""
    from visionport.models.ssd import architecture as ssd
    from visionport.ops import boxes

    config = model.config.model
    return {
        "box_encodings": prediction["box_encodings"],
        "class_scores": boxes.scores(config.post_processing, prediction["logits"]),
        "anchors": ssd.anchors(config, prediction, images, constant=False),
    }


def all_boxes(model, images, true_shapes, prediction) -> dict[str, Any]:
    """raw_detection_boxes [b, n, 4] and raw_detection_scores [b, n, classes], of the model's own outputs."""
    config = model.config
    found = model.meta.postprocess(config.model, model.params.scope(), prediction, images, true_shapes)
    found = model.meta.exported(config, found)
    return {name: found[name] for name in ALL_BOXES}


def two_stage_raw(model, images, true_shapes, prediction) -> dict[str, Any]:
    """The second stage's codes and logits, and the proposals that they are of, in pixels."""
    if model.config.model.proposals_only:
        raise UnsupportedError(
            f"{model.config.path}: raw heads are those of the second stage, which number_of_stages: 1 leaves out."
        )
    return {name: prediction[name] for name in SECOND_STAGE}


def maps(model, images, true_shapes, prediction) -> dict[str, Any]:
    """The maps of a CenterNet's heads, those of the last stack, by their names."""
    return {name.rpartition("/")[0]: x for name, x in prediction.items() if name != "feature_maps"}


def retinanet_raw(model, images, true_shapes, prediction) -> dict[str, Any]:
    """As `ssd_raw`; anchors in pixels of the network's input."""
    import tensorflow as tf

    return {
        "box_encodings": prediction["box_encodings"],
        "class_scores": tf.sigmoid(prediction["logits"]),
        "anchors": model.meta.anchors(model.config.model, prediction, images, constant=True),
    }


def unsuppressed(model, images, true_shapes, prediction) -> dict[str, Any]:
    """decoded_boxes [b, n, 1 or classes, 4] and decoded_box_scores [b, n, classes], in pixels of the scaled picture."""
    config = model.config.model
    wanted = {"apply_nms": False, "decode_boxes": True}
    known = {field.name for field in dataclasses.fields(config.detection_generator)}
    changes = {name: value for name, value in wanted.items() if name in known}
    config = dataclasses.replace(config, detection_generator=dataclasses.replace(config.detection_generator, **changes))
    found = model.meta.postprocess(config, model.params.scope(), prediction, images, true_shapes)
    return {name: found[name] for name in UNSUPPRESSED}


def map_names(config) -> tuple[str, ...]:
    from visionport.models.center_net.architecture import heads

    return tuple(sorted(heads(config.model)))


ANCHORED = ("box_encodings", "class_scores", "anchors")
ALL_BOXES = ("raw_detection_boxes", "raw_detection_scores")
UNSUPPRESSED = ("decoded_boxes", "decoded_box_scores")
SECOND_STAGE = ("refined_box_encodings", "class_predictions_with_background", "proposal_boxes", "num_proposals")

# Model family -> head -> what finds it, and the names of its outputs.
FAMILIES: dict[str, dict[str, tuple[Callable, tuple[str, ...] | Callable]]] = {
    "ssd": {"decoded": (all_boxes, ALL_BOXES), "raw": (ssd_raw, ANCHORED)},
    "faster_rcnn": {"decoded": (all_boxes, ALL_BOXES), "raw": (two_stage_raw, SECOND_STAGE)},
    "center_net": {"raw": (maps, map_names)},
    "retinanet": {"decoded": (unsuppressed, UNSUPPRESSED), "raw": (retinanet_raw, ANCHORED)},
    "mask_rcnn": {"decoded": (unsuppressed, UNSUPPRESSED)},
}
