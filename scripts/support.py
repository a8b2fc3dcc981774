"""The tables of what is supported, from the code itself, for README.md and docs/support.md.

python scripts/support.py            print all of them
python scripts/support.py --write    put them between the marks `<!-- table: NAME -->` and `<!-- end -->`
"""

import argparse
import dataclasses
import importlib
import json
import lzma
import math
import re
import sys
import typing
from pathlib import Path

from visionport import config, options
from visionport.config.official import backbones as official_backbone_types
from visionport.config.official import decoders as official_decoder_types
from visionport.config.official import schema as official_schema
from visionport.config.official import tasks as official_tasks
from visionport.config.pipeline import common as pipeline
from visionport.errors import UnsupportedError
from visionport.formats import format_of
from visionport.formats.onnx.options import OnnxOptions
from visionport.formats.opencv_options import OpencvOptions
from visionport.formats.openvino.options import OpenvinoOptions
from visionport.formats.options import declared
from visionport.formats.saved_model_options import SavedModelOptions
from visionport.formats.tfjs.options import TfjsOptions
from visionport.formats.tflite import ssd as tflite
from visionport.formats.tflite.options import TfliteOptions
from visionport.inputs import pictures
from visionport.inputs.types import INPUT_TYPES
from visionport.models import build
from visionport.models.backbones import (
    dilated_resnet,
    efficientnet,
    mobiledet,
    mobilenet,
    resnet,
    resnet_3d,
    revnet,
    spinenet,
    spinenet_mobile,
)
from visionport.models.center_net import architecture as center_net
from visionport.models.center_net import extractors as center_net_extractors
from visionport.models.faster_rcnn import architecture as faster_rcnn
from visionport.models.ssd import architecture as ssd
from visionport.ops import boxes, image, nn
from visionport.verification.bounds import OTHER_RUNTIME, SAME_OPERATIONS

ROOT = Path(__file__).resolve().parents[1]
FILES = ("README.md", "docs/support.md", "docs/cli.md")
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

DIGITS = config.read_config(Path(str(pictures.example("digits"))) / "tf2")

# What the code cannot say of itself; a missing or superfluous name is an error.
INPUTS = {
    "image_tensor": ("`[batch, height, width, 3]`", "RGB, 0 to 255"),
    "float_image_tensor": ("`[batch, height, width, 3]`", "RGB, 0 to 255"),
    "encoded_image_string_tensor": ("`[batch]`", "JPEG, PNG, BMP, or a GIF's first frame; sizes may differ"),
    "tf_example": ("`[batch]`", "serialized `tf.train.Example` with `image/encoded`; sizes may differ"),
    "image_and_boxes_tensor": ("`[batch, height, width, 3]`", "RGB, 0 to 255; and `boxes`, for DeepMAC alone"),
    "image_bytes": ("[batch]", "Official Vision: a JPEG, PNG, BMP or GIF each"),
    "serve_examples": ("[batch]", "Official Vision: a serialized `tf.train.Example` with `image/encoded` each"),
    "tflite": ("[batch, H, W, 3]", "Official Vision: the network's own input, resized and normalised by the caller"),
    "clip_tensor": ("[batch, frames, height, width, 3]", "`image_tensor` of video models: 0 to 255"),
    "clip_example": (
        "[batch]",
        "`tf_example`, `serve_examples` of video models: a serialized `tf.train.SequenceExample` each",
    ),
}
NMS = {
    "score_threshold": "`score_threshold`",
    "iou_threshold": "`iou_threshold`",
    "max_per_class": "`max_detections_per_class`",
    "max_total": "`max_total_detections`",
    "soft_sigma": "`soft_nms_sigma`, and `use_hard_nms`, which turns it off",
    "class_agnostic": "`use_class_agnostic_nms`, with `max_classes_per_detection: 1`",
    "combined": "`use_combined_nms`",
    "change_coordinate_frame": "`change_coordinate_frame`",
}
# Configs for which tests compare stored answers of the reference, within the bounds.
ANSWERED = [
    "centernet_hourglass104_512x512_coco17_tpu-8",
    "centernet_resnet50_v1_fpn_512x512_kpts_coco17_tpu-8",
    "centernet_resnet50_v2_512x512_kpts_coco17_tpu-8",
    "embedded_ssd_mobilenet_v1_coco",
    "faster_rcnn_inception_resnet_v2_atrous_coco",
    "faster_rcnn_resnet50_coco",
    "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8",
    "faster_rcnn_resnet50_v1_fpn_640x640_coco17_tpu-8",
    "mask_rcnn_inception_resnet_v2_1024x1024_coco17_gpu-8",
    "mask_rcnn_inception_v2_coco",
    "rfcn_resnet101_coco",
    "ssd_efficientdet_d0_512x512_coco17_tpu-8",
    "ssd_inception_v2_coco",
    "ssd_inception_v3_pets",
    "ssd_mobilenet_v1_coco",
    "ssd_mobilenet_v1_fpn_shared_box_predictor_640x640_coco14_sync",
    "ssd_mobilenet_v1_ppn_shared_box_predictor_300x300_coco14_sync",
    "ssd_mobilenet_v2_320x320_coco17_tpu-8",
    "ssd_mobilenet_v2_coco",
    "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8",
    "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8",
    "ssd_mobilenet_v2_quantized_300x300_coco",
    "ssdlite_mobiledet_cpu_320x320_coco_sync_4x4",
    "ssdlite_mobilenet_v3_small_320x320_coco",
]
# In tests/zoo.json.xz, but not published.
VARIANTS = ("faster_rcnn_pnas", "ssd_pnasnet", "ssd_resnet50_v1_ppn", *(f"ssd_spaghettinet_{size}" for size in "lms"))
RESIZERS = {
    config.FixedShape: config.FixedShape(height=320, width=320),
    config.KeepAspectRatio: config.KeepAspectRatio(min_dimension=320, max_dimension=320, pad_to_max=True),
    config.ConditionalShape: config.ConditionalShape(condition="greater", threshold=320),
    config.PadToMultiple: config.PadToMultiple(multiple=32),
    config.Identity: config.Identity(),
}


def extractors():
    rows = []
    for kind in ssd.extractor_types():
        module = ssd.extractor(model(feature_extractor=dataclasses.replace(DIGITS.model.feature_extractor, type=kind)))
        rows.append((kind, "TF2" if kind.endswith("_keras") else "TF1", module))
    for kind, name in faster_rcnn.EXTRACTORS.items():
        module = importlib.import_module(f"visionport.models.faster_rcnn.{name}")
        rows.append((kind, "TF2" if kind.endswith("_keras") else "TF1", module))
    rows += [(kind, "TF2", center_net_extractors) for kind in center_net.extractor_types()]
    head = ("`feature_extractor.type`", "trained with", "what it is", "module")
    return table(head, [(f"`{kind}`", api, what(module), f"`{place(module)}`") for kind, api, module in rows])


def what(module) -> str:
    return (module.__doc__ or "").splitlines()[0].partition(" Reference: ")[0].rstrip(".")


def place(module) -> str:
    return f"{module.__name__.partition('.')[2].replace('.', '/')}.py"


def zoo():
    configs = json.loads(lzma.decompress((ROOT / "tests" / "zoo.json.xz").read_bytes()))
    rows = []
    for name, one in configs.items():
        if re.fullmatch(r"\S+_\S+", name) and name not in VARIANTS:
            millions = sum(math.prod(shape) for _, shape, *_ in one["variables"]) / 1e6
            api = "TF2" if any(key.startswith("model/") for key, *_ in one["variables"]) else "TF1"
            rows.append((f"`{name}`", api, f"{millions:.1f}", "answers" if name in ANSWERED else "names and shapes"))
    same_names(ANSWERED, [name for name in configs if name in ANSWERED])
    return table(("config", "trained with", "parameters, millions", "compared with the reference"), rows)


def experiments():
    rows = []
    for name in official_schema.experiments():
        found = official_schema.experiment(name)
        kind = official_tasks.TASKS[found.task]
        if kind.family in build.FAMILIES:
            module = importlib.import_module(build.FAMILIES[kind.family])
            rows.append((f"`{name}`", kind.task, what(module), f"`{place(module)}`"))
    return table(("`--experiment`", "task", "what it is", "module"), sorted(rows, key=lambda row: row[1]))


def official_backbones():
    rows = []
    for name in official_backbone_types.BACKBONES:
        module = importlib.import_module(f"visionport.models.backbones.{'resnet_3d' if '3d' in name else name}")
        rows.append((f"`{name}`", listed(VARIANTS_OF[name]()) or "one", what(module), f"`{place(module)}`"))
    same_names(VARIANTS_OF, official_backbone_types.BACKBONES)
    return table(("backbone", "variants", "what it is", "module"), rows)


def official_decoders():
    rows = [("`identity`", "none: heads take the backbone's maps", "")]
    for name in official_decoder_types.DECODERS:
        if name != "identity":
            module = importlib.import_module(f"visionport.models.necks.{DECODERS[name]}")
            rows.append((f"`{name}`", what(module), f"`{place(module)}`"))
    return table(("decoder", "what it is", "module"), rows)


DECODERS = {"fpn": "fpn", "nasfpn": "nas_fpn", "aspp": "aspp"}


def formats():
    rows = []
    for name in options.FORMATS:
        fmt = format_of(name)
        path = fmt.target if Path(fmt.target).suffix else f"{fmt.target}/"
        module = sys.modules[type(fmt).__module__]
        rows.append((f"`{name}`", f"`{path}`", (module.__doc__ or "").splitlines()[0].rstrip(".")))
    return table(("`--format`", "writes", "what it is"), rows)


def runtimes():
    """What scripts/runtimes.py has found."""
    kept = json.loads((ROOT / "scripts" / "runtimes.json").read_text())
    answers: dict[tuple[str, str], list[str]] = {}
    tried = {runtime for found in kept.values() for runtime in found}
    for name, found in sorted(kept.items()):
        for runtime in tried:
            answers.setdefault((runtime, found.get(runtime, "not tried")), []).append(name)
    rows = [(f"`{runtime}`", answer, listed(names)) for (runtime, answer), names in sorted(answers.items())]
    return table(("`--format`", "becomes one", "configs and experiments"), rows)


def inputs():
    same_names(INPUTS, INPUT_TYPES)
    rows = [(f"`{name}`", kind.dtype, *INPUTS[name]) for name, kind in INPUT_TYPES.items()]
    return table(("`--input`", "dtype", "shape", "values"), rows)


def resizers():
    kinds = {f"{snake(kind.__name__)}_resizer": kind for kind in RESIZERS}
    same_names(kinds, pipeline.RESIZERS)
    notes = {config.KeepAspectRatio: " with `pad_to_max_dimension`"}
    rows = [
        (f"`{name}`", words(kinds[name]), in_tflite(model(resizer=RESIZERS[kinds[name]]), notes.get(kinds[name], "")))
        for name in pipeline.RESIZERS
    ]
    return table(("`image_resizer`", "what it does", "in TFLite"), rows)


def parts():
    """The other choices of a config, by the part of the model."""
    rows = [
        ("`box_predictor`", listed(pipeline.PREDICTORS)),
        ("`anchor_generator`", listed(pipeline.ANCHORS)),
        ("`box_coder`", listed(pipeline.BOX_CODERS)),
        ("`resize_method`", listed(image.METHODS)),
        ("`activation`", listed(nn.ACTIVATIONS)),
        ("`score_converter`", listed(boxes.SCORE_CONVERTERS)),
    ]
    return table(("part of the config", "choices"), rows)


def box_coders():
    kinds = typing.get_args(typing.get_type_hints(config.BoxCoder)["kind"])
    same_names({f"{kind}_box_coder" for kind in kinds}, pipeline.BOX_CODERS)
    rows = [(f"`{kind}_box_coder`", in_tflite(model(box_coder=config.BoxCoder(kind=kind)))) for kind in kinds]
    return table(("`box_coder`", "in TFLite"), rows)


def nms():
    same_names(NMS, config.Nms.__dataclass_fields__)
    rows = []
    for name, field in NMS.items():
        changed = {"soft_sigma": 0.5, "class_agnostic": True, "combined": True}.get(name)
        post = config.PostProcessing(nms=config.Nms(**{name: changed} if changed else {}))
        chosen = model(post_processing=post)
        mode = f", by the {tflite.nms_mode(chosen, asked())} mode" if changed else ""
        rows.append((field, "yes", in_tflite(chosen, mode)))
    return table(("`batch_non_max_suppression`", "SavedModel, frozen graph", "in TFLite"), rows)


def tolerances():
    rows = [
        (
            f"`{name}`",
            f"{short(t.raw)} of the tensor's standard deviation, or {short(t.floor)}",
            short(t.score),
            short(t.place),
            f"{t.matched:.0%}",
        )
        for name, t in BOUNDS.items()
    ]
    return table(("artifact", "raw values, at most", "scores", "box corners", "detections with a twin, at least"), rows)


# Artifacts without any loss, as their formats bound them.
BOUNDS = dict.fromkeys(("saved_model", "frozen_graph"), SAME_OPERATIONS)
BOUNDS |= dict.fromkeys(("tflite", "onnx", "openvino"), OTHER_RUNTIME)


def format_options(part: type):
    """The options that a format declares, as the command line has them."""

    def rows():
        return table(("option", "what it does", "default"), [option_row(field) for field in declared(part)])

    return rows


def option_row(field: dataclasses.Field) -> tuple[str, str, str]:
    told = field.metadata
    yes, _, no = (told["flag"] or f"--{field.name.replace('_', '-')}").partition("/")
    kind = {int: " INTEGER", float: " FLOAT", str: " NAME", Path: " PATH", "list": " NAME[,NAME...]"}.get(
        told["kind"], ""
    )
    kind = " KIND" if told["choices"] else kind
    says, _, default = told["help"].partition("Default: ")
    says = says.strip().rstrip(".")
    says += f". One of {listed(told['choices'])}" if told["choices"] else ""
    shown = default.rstrip(".") or ("off" if field.default is False else yes if no else f"`{field.default}`")
    shown = {"`None`": "none", "`()`": "nothing"}.get(shown, f"`{shown}`" if shown == yes else shown)
    names = f"`{yes}`, `{no}`" if no else f"`{yes}{kind}`"
    return names, says[:1].lower() + says[1:] if not says[:2].isupper() and says[1:2].islower() else says, shown


# The names that a backbone's config has for its variants.
VARIANTS_OF = {
    "resnet": lambda: map(str, {**resnet.BASIC, **resnet.BOTTLENECK}),
    "dilated_resnet": lambda: map(str, dilated_resnet.UNITS),
    "revnet": lambda: map(str, revnet.NETWORKS),
    "efficientnet": lambda: efficientnet.DEPTH,
    "spinenet": lambda: spinenet.REPEATS,
    "spinenet_mobile": lambda: spinenet_mobile.SCALES,
    "mobilenet": lambda: mobilenet.NETWORKS,
    "mobiledet": lambda: mobiledet.WIDTHS,
    "vit": lambda: official_backbone_types.VIT_SIZES,
    "resnet_3d": lambda: map(str, resnet_3d.UNITS),
    "resnet_3d_rs": lambda: map(str, resnet_3d.UNITS),
}
TABLES = {
    "experiments": experiments,
    "official_backbones": official_backbones,
    "official_decoders": official_decoders,
    "tflite_options": format_options(TfliteOptions),
    "onnx_options": format_options(OnnxOptions),
    "openvino_options": format_options(OpenvinoOptions),
    "tfjs_options": format_options(TfjsOptions),
    "opencv_options": format_options(OpencvOptions),
    "saved_model_options": format_options(SavedModelOptions),
    "extractors": extractors,
    "zoo": zoo,
    "formats": formats,
    "runtimes": runtimes,
    "inputs": inputs,
    "resizers": resizers,
    "parts": parts,
    "box_coders": box_coders,
    "nms": nms,
    "tolerances": tolerances,
}


def filled(text: str) -> str:
    """A document with the current table between each pair of marks."""
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def table(head, rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def listed(names) -> str:
    return ", ".join(f"`{name}`" for name in names)


def short(value: float) -> str:
    """1e-05 -> "1e-5"."""
    return f"{value:.0e}".replace("e-0", "e-")


def words(kind) -> str:
    return (kind.__doc__ or "").splitlines()[0].rstrip(".")


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def in_tflite(chosen: config.Ssd, note: str = "") -> str:
    try:
        tflite.check(dataclasses.replace(DIGITS, model=chosen), asked())
    except UnsupportedError:
        return "no"
    return f"yes{note}"


def model(**changed) -> config.Ssd:
    """The digits detector's model, but for what is `changed`."""
    assert isinstance(DIGITS.model, config.Ssd)
    return dataclasses.replace(DIGITS.model, **changed)


def asked() -> options.Options:
    return options.Options(config=Path("c"), checkpoint=Path("k"), out=Path("o"), formats=("tflite",))


def same_names(mine, theirs) -> None:
    if set(mine) != set(theirs):
        raise SystemExit(f"scripts/support.py: {set(mine) ^ set(theirs)} in only one of its own table and the code")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="bring the documents up to date")
    if not parser.parse_args().write:
        print("\n".join(f"{name}\n\n{make()}" for name, make in TABLES.items()))
        return
    for name in FILES:
        file = ROOT / name
        file.write_text(filled(file.read_text()))


if __name__ == "__main__":
    main()
