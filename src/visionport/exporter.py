"""The story, top to bottom: config, checkpoint, model, signatures, artifacts, verification, report."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from visionport import formats, manifest
from visionport.config import Config, KeepAspectRatio, Normalization, Resizer, read_config
from visionport.config.center_net import KEYPOINT_LABEL_MAP, CenterNet
from visionport.config.labels import write_labels
from visionport.errors import CheckpointError
from visionport.formats import format_module, opencv
from visionport.formats.tflite import center_net
from visionport.inputs import calibration, preprocessing, side_inputs
from visionport.inputs import pictures as images
from visionport.options import CALIBRATED, Options
from visionport.progress import Progress, size_of
from visionport.signatures import MORE_INPUTS, check_model, more_specs
from visionport.staging import check_room, check_target, staged
from visionport.tasks.detection import metric
from visionport.tasks.detection.answers import FEEDS, of_image, of_padding
from visionport.verification.checks import Check, agree, record


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One file or folder of an export; `path` is relative to it."""

    format: str
    path: str
    size: int
    seconds: float = 0.0  # that writing it took


@dataclass(frozen=True, kw_only=True)
class Export:
    """What an export wrote, and whether each artifact agrees with the checkpoint."""

    out: Path
    artifacts: tuple[Artifact, ...]
    checks: tuple[Check, ...]  # none without verification
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what was measured and is in no file, since it is another the next time

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
    if options.evaluate:
        metric.check(options.evaluate)
    label_maps = options.labels, options.keypoint_label_map
    inputs = (options.config, options.checkpoint, *label_maps, *options.images)
    check_target(options.out, overwrite=options.overwrite, merge=options.merge, inputs=[p for p in inputs if p])
    pictures = images.load(options.images, options.image_size) if options.verify or options.images else {}
    config = read_config(options.config, options.config_override, *label_maps)
    check_model(options.inputs, config)
    options = options.settled(config.quantized)
    side_inputs.choose(getattr(config.model, "side_inputs", ()), options.sides, options.batch)
    for name in options.formats:
        format_module(name).check(config, options)
    if options.merge:
        check_room(options.out, [*names_of(options, config), *(n for e in extras for n in e.names)])
    with progress.stage("import TensorFlow"):
        import tensorflow as _  # noqa: F401

    from visionport.checkpoint import write as exported_checkpoint
    from visionport.checkpoint.open import open_checkpoint
    from visionport.formats.tflite import ssd
    from visionport.graph import meta_graph
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
            model = build(
                config, checkpoint, selection=options.selection, batch=options.batch, side_inputs=options.sides
            )
        for text in model.params.notes:
            progress.warn(text)
        warnings = (*warnings, *model.params.notes)
        with progress.stage("trace signatures"):
            signatures = sign(model, options.inputs, batch=options.batch, image_size=options.image_size)
        artifacts = []
        for name in options.formats:
            with progress.stage(f"write {name}") as remark:
                begun = time.perf_counter()
                path = format_module(name).write(model, signatures, options, folder, progress)
                took = time.perf_counter() - begun
                artifacts.append(Artifact(format=name, path=path.name, size=size_of(path), seconds=took))
                remark(f"{artifacts[-1].size / 1e6:.1f} MB")
        with progress.stage("write checkpoint and config"):
            prefix = exported_checkpoint.write(checkpoint, model, folder)
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
        told = ssd.refused_by(config, options) if "tflite" in options.formats else ""
        checks, answers, notes = (), {}, (told,) if told else ()
        if options.verify:
            with progress.stage("verify"):
                checks, answers, more = check_artifacts(model, artifacts, options, folder, content, pictures)
            notes = (*notes, *more)
            manifest.write_json(folder / "verify.json", record(checks))
        with progress.stage("write report"):
            write_report(folder, content, checks, answers, pictures, config, warnings)
            manifest.write(folder, content)
    artifacts, checks = tuple(artifacts), tuple(checks)
    return Export(out=options.out, artifacts=artifacts, checks=checks, warnings=warnings, notes=notes)


def names_of(options: Options, config: Config) -> list[str]:
    """What an export directory will hold, but for the checkpoint's shards."""
    names = [format_module(f).NAME for f in options.formats] + [opencv.NAME] * options.opencv
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
    return {
        "visionport": __version__,
        "tensorflow": tf.__version__,
        "options": manifest.options_record(options),
        "inputs": {p.name: manifest.file_record(p) for p in (config.path, *checkpoint.paths)},
        "model": {
            "architecture": config.architecture,
            "api": config.api,
            "num_classes": config.model.num_classes,
            "parameters": sum(
                int(v.shape.num_elements() if hasattr(v.shape, "num_elements") else v.size) for v in parameters.values()
            ),
            "checkpoint_step": checkpoint.step,
            "label_id_offset": LABEL_ID_OFFSET,
            "boxes_of_padding": of_padding(config.model),
        },
        "side_inputs": [dataclasses.asdict(i) for i in model.side_inputs],
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


def load_artifact(model, artifact: Artifact, folder: Path, content):
    """run(image) of an artifact, with side inputs where the model takes any."""
    run = formats.load(artifact.format, folder / artifact.path, content)
    return partial(run, side=side_inputs.example(model.side_inputs)) if model.side_inputs else run


def check_artifacts(model, artifacts, options: Options, folder: Path, content, pictures):
    """Runs every artifact in its own runtime against the model: ([Check], answers, notes), see verify.py.

    notes: in words, what was measured and is another the next time.
    """
    from visionport.formats.tflite import ssd
    from visionport.tflite import layers, nms
    from visionport.verification.checks import source_of, tolerances_for, verify

    kinds = [a.format for a in artifacts]
    source = source_of(model, heads="tflite" in kinds, more=more_specs(options.inputs[0], options.batch))
    source = of_image(source, content)
    loaders = {a.format: partial(load_artifact, model, a, folder, content) for a in artifacts}
    lossy, loss = {}, ""
    if "tflite" in kinds:
        lossy["tflite"] = ssd.differences(model.config.model, options)
        loss = ssd.loss(model.config, options)
    rounds = any(name.endswith("/min") for name in model.params.keys)  # fake quantisation; SpaghettiNet's in floats too
    tolerances = tolerances_for(kinds, quantized=rounds, loss=loss)
    checks, answers = verify(source, loaders, pictures, lossy, tolerances)
    if loss in CALIBRATED and options.calibration and options.calibration.exists():
        samples = [*islice(calibration.load(options.calibration), layers.PICTURES)]
        (path,) = (folder / a.path for a in artifacts if a.format == "tflite")
        checks += layers.checks(ssd.layers(model, options, path, content, samples))
    if options.evaluate:
        whole = {k: load() for k, load in loaders.items() if k != "tflite" or options.tflite_head == "detections"}
        measured = metric.evaluate({"checkpoint": source, **whole}, options.evaluate, options.image_size)
        checks += metric.checks(measured, options.evaluate, {"tflite": loss}, lossy)
    files = [folder / a.path for a in artifacts if a.format == "tflite"]
    modes = [m for file in files if (m := nms.compare(file, content, pictures))]
    checks += [c for m in modes for c in m.checks]
    return checks, answers, tuple(m.in_words for m in modes)


def write_report(folder: Path, content: Mapping, checks, answers, pictures, config: Config, warnings) -> None:
    from visionport.report.page import ArtifactView, CheckView, PictureView, Report, SignatureView, TensorView
    from visionport.report.page import write_report as write
    from visionport.tasks.detection.drawing import draw_detections

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
    resizer, n = preprocessing.parse(content["preprocessing"])
    n = preprocessing.of_pixels(resizer, n)
    p: dict[str, Any] = {"mode": "L", "mean": n.mean[0], "std": n.std[0]}
    if not resizer.grayscale:
        p = {"mode": "RGB", "mean": [*n.mean], "std": [*n.std]}
    kind = content["options"]["inputs"][0]
    names = [i["name"] for i in artifact["signatures"][0]["inputs"]]
    sides = side_inputs.of(content)
    besides = {*MORE_INPUTS.get(kind, {}), *(i.name for i in sides)}
    more = [n for n in names if n.removesuffix(":0") in besides]
    (source,) = (n for n in names if n not in more)
    module = format_module(artifact["format"])
    text = module.SNIPPET
    if artifact["format"] == "tflite" and content["options"]["tflite_head"] != "detections":
        text = text.partition("boxes, classes")[0] + module.HEADS_SNIPPET
    given = "".join(module.MORE.format(name=n, value=n.removesuffix(":0")) for n in more)
    feed = "\n".join([FEEDS[kind].format(image="image.jpg"), *map(side_inputs.snippet, sides)])
    values = {"input": source, "more": given, "feed": feed}
    if artifact["format"] == "tflite":
        p["fit"] = fit(resizer, n, p["mode"])
    if source == center_net.INPUT:  # of pixels
        p |= {"mean": 0, "std": 1}
    return text.format(path=artifact["path"], image="image.jpg", **p, **values)


def fit(resizer: Resizer, normalization: Normalization, mode: str) -> str:
    """The lines of a snippet that fit its picture to a TFLite file's input."""
    from visionport.formats.tflite.ssd import FITS

    text, values = FITS[type(resizer).__name__], {}
    if isinstance(resizer, KeepAspectRatio):
        color = [round(v) for v in preprocessing.padding(resizer, normalization).tolist()]
        values = {"short": resizer.min_dimension, "long": resizer.max_dimension}
        values |= {"color": tuple(color) if mode == "RGB" else color[0], "mode": mode}
    return text.format(**values)


def shape_text(shape) -> str:
    return "[" + ", ".join("?" if d < 0 else str(d) for d in shape) + "]"
