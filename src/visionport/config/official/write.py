"""params.yaml as the reference writes it beside an export: after the model is built, which changes two things in it."""

from collections.abc import Mapping
from typing import Any

from visionport.config.official.backbones import VIT_SIZES
from visionport.config.official.schema import Experiment
from visionport.config.official.text import write_yaml

FIXED_NMS = ("v1", "tflite")  # take a batch of one size alone


def write_params(config) -> str:
    """The text of params.yaml, from a Config of `read`."""
    return params_text(config.source.experiment, config.source.tree)


def params_text(found: Experiment, tree: Mapping[str, Any]) -> str:
    return write_yaml(found.exported(dict(tree)))


def as_built(tree: dict[str, Any], batch: int | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The tree after the reference built a model from it, and what to say about it."""
    task = tree["task"]
    model, warnings = dict(task["model"]), ()
    if model["backbone"]["type"] == "vit":
        model["backbone"] = {**model["backbone"], "vit": sized(model["backbone"]["vit"])}
    generator = model.get("detection_generator")
    if generator and batch is None and generator["nms_version"] in FIXED_NMS:
        model["detection_generator"] = {**generator, "nms_version": "batched"}
        warnings = (
            f"task.model.detection_generator.nms_version is batched, not {generator['nms_version']}, which does not "
            "take a batch of any size: the reference does the same; --batch 1 keeps it",
        )
    return {**tree, "task": {**task, "model": model}}, warnings


def sized(vit: Mapping[str, Any]) -> dict[str, Any]:
    """A ViT's tree with the numbers of the model that it names; as it is where there is none of that name."""
    if vit["model_name"] not in VIT_SIZES:
        return dict(vit)
    hidden, patch, mlp, heads, layers = VIT_SIZES[vit["model_name"]]
    transformer = {**vit["transformer"], "mlp_dim": mlp, "num_heads": heads, "num_layers": layers}
    return {**vit, "hidden_size": hidden, "patch_size": patch, "transformer": transformer}
