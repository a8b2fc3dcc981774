"""The TFLite format: which architecture's module writes the file, and what all files have in common."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from visionport import trials
from visionport.config.labels import write_labels
from visionport.filetypes import TENSORFLOW_LITE, kind_of_file
from visionport.formats.base import Asker, Format, Network, Reading, SignatureInfo, Tensor, rounds
from visionport.formats.tflite import heads
from visionport.formats.tflite.runner import TfliteRunner
from visionport.inputs import calibration
from visionport.inputs import preprocessing as pre
from visionport.inputs.preprocessing import describe, prepare
from visionport.inputs.quantization import quantized
from visionport.inputs.snippets import fit_lines
from visionport.progress import Progress
from visionport.staging import scratch
from visionport.tflite import checks, layers, metadata, nms, preprocessing, trial
from visionport.tflite.contents import read_contents
from visionport.tflite.description import kind_of
from visionport.tflite.edit import POSTPROCESS, SIGNATURE
from visionport.tflite.flatbuffer import parse
from visionport.tflite.kinds import CALIBRATED
from visionport.verification.bounds import FAKE_QUANTIZED, OTHER_RUNTIME, QUANTIZED
from visionport.verification.checks import Check
from visionport.verification.layers import layer_checks

# Model family -> the module of this package that knows its file: check, convert, reading, left_out, differs, probe,
# refused_by, outside. Any other family's file is made by `whole`.
ARCHITECTURES = {
    "ssd": "ssd",
    "center_net": "center_net",
    "retinanet": "retinanet",
    "faster_rcnn": "two_stage",
    "mask_rcnn": "two_stage",
}


def architecture_of(config) -> ModuleType:
    return importlib.import_module(f"visionport.formats.tflite.{ARCHITECTURES.get(config.family, 'whole')}")


class Tflite(Format):
    """See formats/base.py."""

    name = "tflite"
    title = "TFLite"
    target = "model.tflite"
    runtime = ("ai_edge_litert.interpreter",)

    def check(self, config, options) -> None:
        architecture_of(config).check(config, options)

    def settle(self, config, options):
        return replace(options, quantize=heads.settled_quantization(config, options))

    def write(self, model, signatures, options, folder: Path, progress=None) -> Path:
        """Writes folder/model.tflite."""
        target = folder / self.target
        options = self.settle(model.config, options)
        known = architecture_of(model.config)
        data = known.convert(model, options, progress or Progress())
        how = describe(model.config.model.resizer, model.meta.normalization(model.config.model))
        how = pre.without_normalization(how) if known.reading(model.config, options).type == "pixels" else how
        data = add_metadata(preprocessing.write(data, how), model.config, known.outside(model.config))
        checks.ops(data, target.name)
        target.write_bytes(data)
        trial.trust(data)
        return target

    def reading(self, model, signatures, options) -> Reading:
        return architecture_of(model.config).reading(model.config, options)

    def open(self, path: Path, reading: Reading, threads: int | None = None) -> TfliteRunner:
        if not trials.is_expendable():
            trial.try_file(path.read_bytes(), str(path))
        return TfliteRunner(path, str(path), reading.outputs, reading.probes, threads=threads)

    def recognises(self, path: Path) -> bool:
        return path.is_file() and kind_of_file(path) == TENSORFLOW_LITE

    def network(self, path: Path, reading: Reading, threads: int | None = None) -> Network | None:
        data = path.read_bytes()
        if not nms.options_of(parse(data)):
            return None
        runner = TfliteRunner(nms.without_op(data), str(path), threads=threads)
        return Network(runner=runner, reading=replace(reading, outputs=(), probes=()), what=f"without {POSTPROCESS}")

    def single_threaded(self, path: Path) -> str:
        return "regular NMS of LiteRT loses classes with more" if nms.is_regular(path) else ""

    def precision(self, path: Path) -> str:
        return kind_of(read_contents(path.read_bytes()).main)

    def signatures(self, path: Path, reading: Reading) -> list[SignatureInfo]:
        graph = read_contents(path.read_bytes())

        def side(tensors):
            return tuple(Tensor(name=t.name, dtype=t.dtype, shape=tuple(t.shape)) for t in tensors)

        return [SignatureInfo(name=SIGNATURE, inputs=side(graph.inputs), outputs=side(graph.outputs))]

    def loss(self, model, options) -> str:
        if heads.trained(model.config, options):
            return "trained"
        if options.quantize != "none":
            return options.quantize
        return "pixels" if heads.input_type(options) == "uint8" else ""

    def tolerance(self, model, options):
        loss = self.loss(model, options)
        if loss:
            return QUANTIZED[loss]
        # LiteRT has other kernels, and batch norms are folded into weights.
        return FAKE_QUANTIZED if rounds(model) else OTHER_RUNTIME

    def left_out(self, model, options, outputs: Sequence[str]) -> Mapping[str, str]:
        known = architecture_of(model.config)
        reason, held = known.left_out(model.config, options), known.reading(model.config, options)
        return {name: reason for name in outputs if name not in (*held.outputs, *held.probes)} if reason else {}

    def differs(self, model, options) -> str:
        return architecture_of(model.config).differs(model.config, options)

    def probes(self, model, options) -> Callable | None:
        known = architecture_of(model.config)

        def probe(images, true_shapes, prediction):
            return known.probe(model, options, prediction, images)

        return probe

    def answers_in_full(self, options) -> bool:
        return options.tflite_head == "detections"

    def warnings(self, config, options) -> list[str]:
        told = architecture_of(config).refused_by(config, options)
        return [told] if told else []

    def examine(self, model, options, path: Path, content: Mapping[str, Any], pictures):
        """The order of the outputs, what 8 bits cost each layer, and what either mode of NMS keeps and takes."""
        found: list[Check] = []
        notes: list[str] = []
        reading = self.reading(model, (), options)
        runner = self.open(path, reading)
        found += check_order(runner, reading)
        if self.loss(model, options) in CALIBRATED and options.calibration and options.calibration.exists():
            samples = [*islice(calibration.load(options.calibration), layers.PICTURES)]
            found += layer_checks(self.layers(model, options, path, content, samples))
        asker = Asker(runner=runner, reading=reading, task=None, how=content["preprocessing"])  # type: ignore[arg-type]
        feeds = {name: asker.feed(p[None])[0] for name, p in pictures.items()}
        modes = nms.compare_modes(path, feeds)
        if modes:
            found += [
                Check(
                    artifact=self.name,
                    picture=picture,
                    what="kept by fast NMS",
                    measured=kept.share,
                    bound=None,
                    at_least=True,
                    notes=kept.in_words,
                )
                for picture, kept in modes.kept.items()
            ]
            notes.append(modes.in_words)
        first = next(iter(feeds.values()), None)
        cost = nms.measure(path, first) if first is not None else None
        if cost and cost.in_words:
            notes.append(f"{path.name}: {cost.in_words}")
        return found, notes

    def layers(self, model, options, path: Path, content: Mapping[str, Any], pictures) -> list[layers.Layer]:
        """What integer quantisation costs each layer, on `pictures` (uint8 [h, w, 3]); the worst loss first."""
        plain = {"quantize": "none", "calibration": None, "tflite_input": None, "quantize_exclude": ()}
        with scratch() as folder:
            exact = self.write(model, (), replace(options, **plain), folder).read_bytes()
        how = content["preprocessing"]
        if self.reading(model, (), options).type == "pixels":
            how = pre.without_normalization(how)

        def feed(source):
            kind = np.uint8 if source["dtype"] == np.uint8 else np.float32
            values = (prepare(picture, how, kind)[0] for picture in pictures)
            return [quantized(value, source["dtype"], *source["quantization"]) for value in values]

        return layers.layers(exact, path.read_bytes(), feed)

    def snippet(self, artifact, content, task) -> str:
        reading = Reading.read(artifact["reading"])
        resizer, n = pre.parse(content["preprocessing"])
        n = pre.of_pixels(resizer, n)
        mean, std = ([0.0] * 3, [1.0] * 3) if reading.type == "pixels" else (n.mean, n.std)
        gray = resizer.grayscale
        if type(resizer).__name__ == "MiddleClip":
            return CLIP_SNIPPET.format(path=artifact["path"], end=OUTPUTS)
        return SNIPPET.format(
            path=artifact["path"],
            mode="L" if gray else "RGB",
            mean=mean[0] if gray else shortest(mean),
            std=std[0] if gray else shortest(std),
            fit=fit_lines(resizer, n, "L" if gray else "RGB"),
            end=end_lines(reading, task),
        )


def shortest(values) -> Any:
    """0 and 1 as such where nothing is left to normalise."""
    return int(values[0]) if set(values) in ({0.0}, {1.0}) else [*values]


def check_order(runner: TfliteRunner, reading: Reading) -> list[Check]:
    """Clients read outputs by position: does the file have them in the order of the contract?"""
    if not reading.outputs:
        return []
    right = [runner.index_of(name) == i for name, i in zip(reading.outputs, runner.positions, strict=False)]
    measured, wanted = sum(right), len(reading.outputs)
    return [
        Check(
            artifact="tflite",
            what="outputs in order",
            measured=measured,
            bound=wanted,
            at_least=True,
            notes=", ".join(reading.outputs),
        )
    ]


def add_metadata(data: bytes, config, normalization) -> bytes:
    """The file with metadata. normalization: what is left to do outside."""
    contents, outputs = read_contents(data), {}
    if config.family not in ARCHITECTURES:
        outputs = metadata.outputs_for({t.name: t.shape for t in contents.outputs}, config.num_classes)
    gray = config.model.resizer.grayscale
    channels = slice(1) if gray else slice(3)
    image = metadata.Image(mean=normalization.mean[channels], std=normalization.std[channels], grayscale=gray)
    return metadata.add(
        data,
        name=config.architecture,
        description=f"{config.architecture} with {config.num_classes} classes",
        image=image if len(contents.inputs[0].shape) == 4 else None,  # a clip is none
        labels=write_labels(config.labels, config.num_classes, config.label_offset) if config.labels else "",
        outputs=outputs,
    )


def end_lines(reading: Reading, task) -> str:
    """What the snippet prints."""
    if reading.answers.get("classes_from") == 0 and len(reading.outputs) >= 4:
        return DETECTIONS
    return OUTPUTS


SNIPPET = """\
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

model = Interpreter("{path}")
model.allocate_tensors()
(source,) = model.get_input_details()
height, width = source["shape"][1:3]
image = Image.open("image.jpg").convert("{mode}")
{fit}
value = np.asarray(image).reshape(source["shape"])
if source["dtype"] != np.uint8:  # a uint8 input takes the pixels
    value = (value - {mean}) / {std}
if source["dtype"] == np.int8:
    value = np.rint(value / source["quantization"][0]) + source["quantization"][1]
model.set_tensor(source["index"], value.astype(source["dtype"]))
model.invoke()
{end}"""
CLIP_SNIPPET = """\
import numpy as np
from ai_edge_litert.interpreter import Interpreter

model = Interpreter("{path}")
model.allocate_tensors()
(source,) = model.get_input_details()
value = np.zeros(source["shape"], source["dtype"])  # frames from 0 to 1, as `preprocessing` in manifest.json says
model.set_tensor(source["index"], value)
model.invoke()
{end}"""
DETECTIONS = """\
boxes, classes, scores, count, *keypoints = (model.get_tensor(o["index"]) for o in model.get_output_details())
print(boxes[0, 0], classes[0, 0], scores[0, 0])  # classes from 0: lines of labels.txt
"""
OUTPUTS = """\
for output in model.get_output_details():
    print(output["name"], output["shape"], model.get_tensor(output["index"]).flat[0])
"""

FORMAT = Tflite()
