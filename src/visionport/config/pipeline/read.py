"""The Object Detection API's `pipeline.config`: the parsed message becomes the dataclasses of `visionport.config`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from google.protobuf import text_format

from visionport import config
from visionport.config.center_net import KEYPOINT_LABEL_MAP
from visionport.config.labels import find_labels, left_out, no_labels, not_read, read_label_map
from visionport.config.lineage import LINEAGES
from visionport.config.model import COMMON_INPUTS
from visionport.config.pipeline.center_net import center_net
from visionport.config.pipeline.common import check_size
from visionport.config.pipeline.faster_rcnn import faster_rcnn
from visionport.config.pipeline.ranges import check_ranges
from visionport.config.pipeline.ssd import ssd
from visionport.config.pipeline.text import Pipeline, read_pipeline
from visionport.errors import ConfigError, OptionError, UnsupportedError


def read(
    path,
    *,
    override: str = "",
    labels=None,
    keypoint_label_map=None,
    picture_size: tuple[int, int] | None = None,
    score_threshold: float | None = None,
) -> config.Config:
    """The config in a file or folder (see visionport.config.read_config)."""
    pipeline = read_pipeline(path, override)
    kind = pipeline.message.model.WhichOneof("model")
    if score_threshold is not None and kind in MODELS:
        pipeline = read_pipeline(path, override + threshold_text(pipeline, kind, score_threshold))
    if kind not in MODELS:
        raise UnsupportedError(
            f"{pipeline.path}: models of the kind {kind!r} are not supported. Supported: {', '.join(MODELS)}; "
            "see docs/support.md."
        )
    message = getattr(pipeline.message.model, kind)
    api = api_of(kind, message)
    try:
        check_ranges(message, f"model.{kind}")
        rewritten = quantized(pipeline.message, kind, api)
        model = MODELS[kind](message, api, Files(folder=pipeline.path.parent, keypoint_label_map=keypoint_label_map))
        check_size(model, f"model.{kind}", picture_size)
    except (ConfigError, UnsupportedError) as e:
        raise type(e)(f"{pipeline.path}: {e}") from e
    label_map = find_labels(pipeline, Path(labels) if labels else None)
    return config.Config(
        path=pipeline.path,
        model=model,
        architecture=message.feature_extractor.type,
        family=kind,
        task="detection",
        lineage=LINEAGES[api],
        num_classes=model.num_classes,
        picture_size=picture_size,
        input_types=input_types(model),
        files=more_files(model),
        quantized=rewritten,
        moving_averages=api == "tf1" and pipeline.message.eval_config.use_moving_averages,
        text=exported_text(pipeline, api),
        labels=read_label_map(label_map, model.num_classes) if label_map else None,
        warnings=(
            *pipeline.warnings,
            *ignored(pipeline.message, api),
            *(() if labels else not_read(pipeline)),
            *(left_out(label_map, model.num_classes) if label_map else no_labels(pipeline)),
        ),
        source=pipeline,
    )


def threshold_text(pipeline: Pipeline, kind: str, threshold: float) -> str:
    """Config text that sets the score threshold of the last NMS. Raises OptionError for a model that has none."""
    model = getattr(pipeline.message.model, kind)
    if kind == "faster_rcnn" and model.number_of_stages == 1:
        return f"\nmodel {{ faster_rcnn {{ first_stage_nms_score_threshold: {threshold!r} }} }}"
    field = "second_stage_post_processing" if kind == "faster_rcnn" else "post_processing"
    if kind == "center_net" and not model.HasField(field):
        raise OptionError(
            f"--score-threshold: {pipeline.path} has no NMS: a CenterNet gives the highest peaks, whatever their "
            "score. Leave it out, and drop what scores too low behind the model."
        )
    nms = f"batch_non_max_suppression {{ score_threshold: {threshold!r} }}"
    return f"\nmodel {{ {kind} {{ {field} {{ {nms} }} }} }}"


@dataclass(frozen=True, kw_only=True)
class Files:
    """Files that a model's config may name. folder: of the config."""

    folder: Path
    keypoint_label_map: str | Path | None = None


def api_of(kind: str, message) -> Literal["tf1", "tf2"]:
    """Which of the reference's two APIs builds it: TF2's extractors are named "_keras", CenterNet is TF2's alone."""
    keras = kind == "center_net" or "_keras" in message.feature_extractor.type
    return "tf2" if keras else "tf1"


def quantized(pipeline, kind: str, api: str) -> bool:
    """Whether the network is rewritten for fake quantisation: on TF1 alone. Its delay and symmetry are of training."""
    if api == "tf2" or not pipeline.HasField("graph_rewriter"):
        return False
    q = pipeline.graph_rewriter.quantization
    if (q.weight_bits, q.activation_bits) != (8, 8):
        raise UnsupportedError(
            f"graph_rewriter: weight_bits {q.weight_bits}, activation_bits {q.activation_bits}: the reference knows no "
            "others than 8 and 8."
        )
    if kind != "ssd":
        raise UnsupportedError(f"graph_rewriter: quantisation-aware checkpoints are SSD's here, not those of {kind}.")
    return True


def ignored(pipeline, api: str) -> list[str]:
    """What a TF2 config says in vain."""
    if api == "tf1" or not pipeline.HasField("graph_rewriter"):
        return []
    return ["graph_rewriter is ignored: in TensorFlow 2 the Object Detection API does not read it"]


def exported_text(pipeline: Pipeline, api: str) -> str:
    """The config as it is written beside an export: on TF1 the averages have become the variables."""
    if api == "tf2":
        return pipeline.text
    message = type(pipeline.message)()
    message.CopyFrom(pipeline.message)
    message.eval_config.use_moving_averages = False
    return text_format.MessageToString(message)


def more_files(model) -> dict[str, str]:
    """What an export holds besides the config: the label map that a CenterNet's keypoints were read from."""
    text = getattr(model, "keypoint_label_map", "")
    return {KEYPOINT_LABEL_MAP: text} if text else {}


def input_types(model) -> tuple[str, ...]:
    """Every model takes the common ones; DeepMAC also pictures with boxes to draw masks in."""
    return (*COMMON_INPUTS, "image_and_boxes_tensor") if getattr(model, "deepmac", None) else COMMON_INPUTS


MODELS = {
    "ssd": lambda m, api, files: ssd(m, api),
    "faster_rcnn": lambda m, api, files: faster_rcnn(m, api),
    "center_net": lambda m, api, files: center_net(m, folder=files.folder, keypoint_label_map=files.keypoint_label_map),
}
