"""TensorFlow.js model for browsers and Node: the network as a graph model, and what asks it about pictures."""

import importlib.resources
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from visionport.errors import InputError, UnsupportedError
from visionport.formats import heads
from visionport.formats.base import Reading, SignatureInfo, Tensor, read_signature, rounds
from visionport.formats.record import record
from visionport.formats.tfjs import runner, suppression
from visionport.signatures import Signature, sign_preprocessed
from visionport.tfjs import contents
from visionport.tfjs.convert import convert
from visionport.verification.bounds import OTHER_RUNTIME, OTHER_RUNTIME_FAKE_QUANTIZED, QUANTIZED

SIGNATURE = "serving_default"  # a file has none; what it is called here
MAKER = "visionport"  # whose words stand in userDefinedMetadata
BESIDE = ("detect.js", "index.html", "page.js")
TWO_STAGES = ("faster_rcnn", "mask_rcnn")


class Tfjs(heads.Headed):
    """See formats/base.py."""

    name = "tfjs"
    title = "TensorFlow.js"
    target = "tfjs"
    runtime = ()

    def check(self, config, options) -> None:
        if config.family in TWO_STAGES:
            raise UnsupportedError(
                f"{config.path}: --format tfjs does not hold {config.architecture}, which has two stages: the second "
                "is of crops that a first suppression chose, and TensorFlow.js has no suppression that gives "
                "shapes to what follows. Take --format onnx, which onnxruntime-web runs in a browser, or an SSD."
            )
        if config.task == "video":
            raise UnsupportedError(
                f"{config.path}: --format tfjs is for pictures, and {config.architecture} takes clips."
            )
        heads.check(config, options.tfjs_head, "--tfjs-head")
        if options.batch not in (None, 1):
            raise UnsupportedError(
                f"{config.path}: --format tfjs takes one picture at a time, and --batch {options.batch} asks for more. "
                "Leave out --batch, or export the other formats apart."
            )
        if self.suppresses(config, options):
            suppression.check(config)

    def write(self, model, signatures, options, folder: Path, progress=None) -> Path:
        """Writes folder/tfjs/model.json, its shards, and detect.js and index.html."""
        from visionport.graph.function import freeze_function
        from visionport.ops.portable import portable

        config = model.config
        name = input_name(config, options)
        try:
            with portable():
                signature = sign_preprocessed(model, self.answer_of(model, options), batch=1, input_name=name)
            if signature.more:
                raise UnsupportedError(f"{' and '.join(signature.more)} would be inputs besides the picture.")
            graph = freeze_function(signature.function, {name: name}, lower=False)
            outputs = sorted(signature.function.structured_outputs)
            told = {MAKER: self.metadata(model, signatures, options)}
            made = convert(graph, [name], outputs, quantize=options.tfjs_quantize, metadata=told)
        except UnsupportedError as e:
            raise UnsupportedError(f"{config.path}: --format tfjs: {str(e).removeprefix(f'{config.path}: ')}") from None
        place = folder / self.target
        place.mkdir()
        for shard, data in made.shards.items():
            (place / shard).write_bytes(data)
        target = place / "model.json"
        target.write_text(json.dumps(made.content, separators=(",", ":"), sort_keys=True), encoding="utf-8")
        if self.answers_in_full(options):
            for file in BESIDE:
                with importlib.resources.as_file(
                    importlib.resources.files("visionport.formats.tfjs") / "web" / file
                ) as source:
                    shutil.copyfile(source, place / file)
        return target

    def answer_of(self, model, options) -> Callable:
        """What the graph gives of what it takes."""
        return heads.answer_of(model, self.graph_head(model.config, options))

    def metadata(self, model, signatures, options) -> dict[str, Any]:
        """What model.json says of how it is asked: for detect.js, and for whoever opens it alone (see `told`)."""
        told = record(model, self.reading(model, signatures, options))
        rules = suppression.rules_of(model.config) if self.suppresses(model.config, options) else None
        return told | {"first_label": model.config.label_offset, "suppression": rules}

    def reading(self, model, signatures, options) -> Reading:
        config = model.config
        name = input_name(config, options)
        if self.suppresses(config, options):
            return suppression.reading(config, name)
        like = Signature(name="tflite", kind="tflite", input_name=name, function=None)
        names = heads.names_of(config, options.tfjs_head)
        return read_signature(like, model, input_name=name, name=SIGNATURE, outputs=names)

    def open(self, path: Path, reading: Reading, threads: int | None = None) -> runner.TfjsRunner:
        contents.check(path, contents.read(path))
        known = {found.name: found for found in self.signatures(path, reading)}
        return runner.TfjsRunner(path, known, threads, self.size(path))

    def versions(self) -> Mapping[str, str]:
        return runner.versions()

    def recognises(self, path: Path) -> bool:
        return contents.is_tfjs(path)

    def check_foreign(self, path: Path) -> None:
        contents.check(path, contents.read(path))

    def missing_package(self) -> str:
        return runner.missing()

    def size(self, path: Path) -> int:
        return contents.size(path)

    def signatures(self, path: Path, reading: Reading) -> list[SignatureInfo]:
        content = contents.read(path)
        inputs, outputs = (
            tuple(Tensor(name=e.name, dtype=e.dtype, shape=e.shape) for e in contents.ends(path, content, side))
            for side in ("inputs", "outputs")
        )
        return [SignatureInfo(name=SIGNATURE, inputs=inputs, outputs=outputs)]

    def told(self, path: Path) -> Mapping[str, Any] | None:
        try:
            told = contents.metadata(contents.read(path), MAKER)
        except InputError:
            return None
        return told if isinstance(told, dict) else None

    def tolerance(self, model, options):
        if options.tfjs_quantize != "none":
            return QUANTIZED[options.tfjs_quantize]
        return OTHER_RUNTIME_FAKE_QUANTIZED if rounds(model) else OTHER_RUNTIME

    def loss(self, model, options) -> str:
        return "" if options.tfjs_quantize == "none" else options.tfjs_quantize

    def graph_head(self, config, options) -> str:
        return "decoded" if self.suppresses(config, options) else self.head(options)

    def suppresses(self, config, options) -> bool:
        """Whether detect.js suppresses the boxes that the graph gives."""
        return self.answers_in_full(options) and config.family in suppression.SUPPRESSED

    def left_out(self, model, options, outputs: Sequence[str]) -> Mapping[str, str]:
        if not self.suppresses(model.config, options):
            return super().left_out(model, options, outputs)
        held = heads.names_of(model.config, "decoded") + suppression.NAMES
        return {name: "detect.js gives boxes, classes and scores" for name in outputs if name not in held}

    def snippet(self, artifact, content, task) -> str:
        names = [t["name"] for t in artifact["signatures"][0]["outputs"]]
        source = artifact["signatures"][0]["inputs"][0]
        if artifact["reading"]["type"] == "preprocessed" and "tfjs" in artifact["path"] and task.name in HELPED:
            return SNIPPET.format(folder=Path(artifact["path"]).parent.as_posix(), path=artifact["path"])
        return BARE.format(
            path=artifact["path"], shape=[1 if d < 0 else d for d in source["shape"]], names=", ".join(map(repr, names))
        )


def input_name(config, options) -> str:
    """What the picture input is called: as the SavedModel's."""
    return options.input_name or config.lineage.input_name


HELPED = ("detection", "classification", "segmentation")

SNIPPET = """\
// In a page that has loaded TensorFlow.js as `tf`; {folder}/index.html is one.
import {{ load }} from "./{folder}/detect.js";

const model = await load(tf, "./{path}");
const answer = await model.ask(document.querySelector("img"));
console.log(answer);
"""

BARE = """\
import * as tf from "@tensorflow/tfjs";

const model = await tf.loadGraphModel("{path}");
const answers = await model.executeAsync(tf.zeros({shape}), [{names}]); // as `preprocessing` in manifest.json says
for (const answer of answers) answer.print();
"""

FORMAT = Tfjs()
