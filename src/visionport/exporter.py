"""The story, top to bottom: config, checkpoint, model, signatures, artifacts, verification, report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport import images, manifest, preprocessing
from visionport.config import Config, read_config
from visionport.config_center_net import KEYPOINT_LABEL_MAP, CenterNet
from visionport.errors import CheckpointError
from visionport.formats import format_module
from visionport.formats.answers import FEEDS
from visionport.labels import write_labels
from visionport.options import Options
from visionport.progress import Progress, size_of
from visionport.staging import check_room, check_target, staged
from visionport.verify import Check, agree, record


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One file or folder of an export; `path` is relative to it."""

    format: str
    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Export:
    """What an export wrote, and whether each artifact agrees with the checkpoint."""

    out: Path
    artifacts: tuple[Artifact, ...]
    checks: tuple[Check, ...]  # none without verification
    warnings: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return agree(self.checks)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """Files that stand beside the artifacts, as old scripts wrote them. write: (model, options, folder)."""

    names: tuple[str, ...]
    write: Callable[[Any, Options, Path], None]


def export(options: Options, progress: Progress | None = None, extras: Sequence[Extra] = ()) -> Export:
    """Makes an export directory. Raises VisionportError; then nothing is written and nothing is lost."""
    progress = progress or Progress()
    options.check()
    label_maps = options.labels, options.keypoint_label_map
    inputs = (options.config, options.checkpoint, *label_maps, *options.images)
    check_target(options.out, overwrite=options.overwrite, merge=options.merge, inputs=[p for p in inputs if p])
    pictures = images.load(options.images, options.image_size) if options.verify or options.images else {}
    config = read_config(options.config, options.config_override, *label_maps)
    for name in options.formats:
        format_module(name).check(config, options)
    if options.merge:
        check_room(options.out, [*names_of(options, config), *(n for e in extras for n in e.names)])
    with progress.stage("import TensorFlow"):
        import tensorflow as _  # noqa: F401

    from visionport import exported_checkpoint
    from visionport.checkpoint import open_checkpoint
    from visionport.formats import meta_graph
    from visionport.models.build import build
    from visionport.signatures import sign

    with progress.stage("read checkpoint"):
        checkpoint = open_checkpoint(options.checkpoint)
    if checkpoint.data_problem:
        raise CheckpointError(checkpoint.data_problem)
    warnings = (*config.warnings, *checkpoint.warnings)
    for text in warnings:
        progress.warn(text)
    with staged(options.out, overwrite=options.overwrite, merge=options.merge) as folder:
        with progress.stage("build model"):
            model = build(config, checkpoint, freeze=options.freeze, batch=options.batch)
        with progress.stage("trace signatures"):
            signatures = sign(model, options.inputs, batch=options.batch, image_size=options.image_size)
        artifacts = []
        for name in options.formats:
            with progress.stage(f"write {name}") as remark:
                path = format_module(name).write(model, signatures, options, folder, progress)
                artifacts.append(Artifact(format=name, path=path.name, size=size_of(path)))
                remark(f"{artifacts[-1].size / 1e6:.1f} MB")
        with progress.stage("write checkpoint and config"):
            prefix = exported_checkpoint.write(checkpoint, model.params, folder)
            if config.api == "tf1":
                meta_graph.write(model, signatures[0], prefix)
            (folder / "pipeline.config").write_text(config.text, "utf-8")
            if config.labels:
                names = write_labels(dict(config.labels), config.model.num_classes)
                (folder / "labels.txt").write_text(names, "utf-8")
            if isinstance(config.model, CenterNet) and config.model.keypoints:
                (folder / KEYPOINT_LABEL_MAP).write_text(config.model.keypoint_label_map, "utf-8")
        for extra in extras:
            with progress.stage(f"write {extra.names[0]}"):
                extra.write(model, options, folder)
        content = describe(options, config, checkpoint, model, artifacts, folder)
        checks, answers = (), {}
        if options.verify:
            with progress.stage("verify"):
                checks, answers = check_artifacts(model, artifacts, options, folder, content, pictures)
            manifest.write_json(folder / "verify.json", record(checks))
        with progress.stage("write report"):
            write_report(folder, content, checks, answers, pictures, config, warnings)
            manifest.write(folder, content)
    return Export(out=options.out, artifacts=tuple(artifacts), checks=tuple(checks), warnings=warnings)


def names_of(options: Options, config: Config) -> list[str]:
    """What an export directory will hold, but for the checkpoint's shards."""
    names = [format_module(f).NAME for f in options.formats]
    names += ["checkpoint"] if config.api == "tf2" else ["checkpoint", "model.ckpt.index", "model.ckpt.meta"]
    names += ["labels.txt"] * bool(config.labels) + ["verify.json"] * options.verify
    return [*names, "pipeline.config", "report.html", "manifest.json"]


def describe(
    options: Options, config: Config, checkpoint, model, artifacts: Sequence[Artifact], folder: Path
) -> dict[str, Any]:
    """The manifest's content, but for the files."""
    import tensorflow as tf

    from visionport import __version__
    from visionport.models.build import LABEL_ID_OFFSET

    parameters = {**model.params.variables, **model.params.constants}
    shards = sorted(checkpoint.prefix.parent.glob(f"{checkpoint.prefix.name}.*"))
    inputs = [config.path, *(s for s in shards if s.suffix == ".index" or ".data-" in s.name)]
    return {
        "visionport": __version__,
        "tensorflow": tf.__version__,
        "options": manifest.options_record(options),
        "inputs": {p.name: manifest.file_record(p) for p in inputs},
        "model": {
            "architecture": config.architecture,
            "api": config.api,
            "num_classes": config.model.num_classes,
            "parameters": sum(
                int(v.shape.num_elements() if hasattr(v.shape, "num_elements") else v.size) for v in parameters.values()
            ),
            "checkpoint_step": checkpoint.step,
            "label_id_offset": LABEL_ID_OFFSET,
        },
        "preprocessing": preprocessing.describe(config.model.resizer, model.meta.normalization(config.model)),
        "artifacts": [
            {
                "format": a.format,
                "path": a.path,
                "signatures": [
                    {"name": n, "inputs": tensors(i), "outputs": tensors(o)}
                    for n, i, o in format_module(a.format).signatures(folder / a.path)
                ],
            }
            for a in artifacts
        ],
    }


def tensors(triples) -> list[dict[str, Any]]:
    return [{"name": n, "dtype": d, "shape": [int(x) for x in s]} for n, d, s in triples]


def check_artifacts(model, artifacts, options: Options, folder: Path, content, pictures):
    """Runs every artifact in its own runtime against the model: ([Check], answers), see verify.py."""
    from visionport.formats import tflite
    from visionport.verify import QUANTIZED, TOLERANCES, source_of, verify

    kinds = [a.format for a in artifacts]
    source = source_of(model, heads="tflite" in kinds)
    runs = {a.format: format_module(a.format).load(folder / a.path, content) for a in artifacts}
    lossy, tolerances = {}, {}
    if "tflite" in kinds:
        lossy["tflite"] = tflite.differences(model.config.model, options)
        loss = tflite.loss(options)
        tolerances["tflite"] = QUANTIZED[loss] if loss else TOLERANCES["tflite"]
    checks, answers = verify(source, runs, pictures, lossy, tolerances)
    return checks, answers


def write_report(folder: Path, content: Mapping, checks, answers, pictures, config: Config, warnings) -> None:
    from visionport.draw import draw_detections
    from visionport.report import ArtifactView, CheckView, PictureView, Report, SignatureView, TensorView
    from visionport.report import write_report as write

    def view(tensors):
        return tuple(TensorView(name=t["name"], dtype=t["dtype"], shape=shape_text(t["shape"])) for t in tensors)

    def artifact_view(a):
        mine = [c for c in checks if c.artifact == a["format"]]
        views = (
            CheckView(
                what=c.what,
                image=c.image,
                measured=c.measured,
                bound=c.bound or 0.0,
                ok=c.ok,
                at_least=c.at_least,
                notes=c.notes,
            )
            for c in mine
        )
        return ArtifactView(
            format=a["format"],
            path=a["path"],
            size=size_of(folder / a["path"]),
            agrees=agree(mine) if mine else None,
            checks=tuple(views),
            signatures=tuple(
                SignatureView(name=s["name"], inputs=view(s["inputs"]), outputs=view(s["outputs"]))
                for s in a["signatures"]
            ),
            snippet=snippet(a, content),
        )

    model = content["model"]
    shown = tuple(
        PictureView(
            name=name,
            columns=tuple(
                (title, draw_detections(pictures[name], found, config.labels))
                for title, found in row.items()
                if "detection_boxes" in found
            ),
        )
        for name, row in answers.items()
    )
    report = Report(
        title=f"{model['architecture']}, {model['num_classes']} classes",
        architecture=model["architecture"],
        config=str(config.path),
        checkpoint=content["options"]["checkpoint"],
        step=model["checkpoint_step"],
        parameters=model["parameters"],
        classes=model["num_classes"],
        input=preprocessing.in_words(config.model.resizer),
        warnings=tuple(warnings),
        artifacts=tuple(artifact_view(a) for a in content["artifacts"]),
        pictures=shown,
    )
    write(folder / "report.html", report)


def snippet(artifact: Mapping, content: Mapping) -> str:
    """Python that loads an artifact of that manifest and runs it, in the export directory."""
    p = content["preprocessing"]
    source = artifact["signatures"][0]["inputs"][0]["name"]
    module = format_module(artifact["format"])
    text = module.SNIPPET
    if artifact["format"] == "tflite" and content["options"]["tflite_head"] != "detections":
        text = text.partition("boxes, classes")[0] + module.HEADS_SNIPPET
    feed = FEEDS[content["options"]["inputs"][0]].format(image="image.jpg")
    return text.format(path=artifact["path"], image="image.jpg", feed=feed, mean=p["mean"], std=p["std"], input=source)


def shape_text(shape) -> str:
    return "[" + ", ".join("?" if d < 0 else str(d) for d in shape) + "]"
