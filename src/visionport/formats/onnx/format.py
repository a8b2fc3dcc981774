"""ONNX file: the network and its detections in one, for ONNX Runtime, OpenVINO, TensorRT and others."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionport import trials
from visionport.errors import OptionError, UnsupportedError
from visionport.formats import heads
from visionport.formats.base import (
    Network,
    Reading,
    SignatureInfo,
    Tensor,
    proposes,
    read_signature,
    rounds,
    snippet_parts,
)
from visionport.formats.onnx.runner import SIGNATURE, OnnxRunner
from visionport.formats.record import record
from visionport.inputs.types import split_name, type_of
from visionport.onnx import contents, trial
from visionport.signatures import Signature, sign_anew, sign_preprocessed
from visionport.verification.bounds import OTHER_RUNTIME, OTHER_RUNTIME_FAKE_QUANTIZED, OTHER_RUNTIME_PROPOSALS

TOLD = "visionport.record"  # of the metadata: how the file is asked, as a manifest says it
SUPPRESSION = "NonMaxSuppression"


class Onnx(heads.Headed):
    """See formats/base.py."""

    name = "onnx"
    title = "ONNX"
    target = "model.onnx"
    runtime = ("onnxruntime",)

    def check(self, config, options) -> None:
        for package in ("onnx", "onnxruntime"):
            if not importlib.util.find_spec(package):
                raise OptionError(f"--format onnx: {package} is not installed. Take `pip install visionport[onnx]`.")
        heads.check(config, options.onnx_head, "--onnx-head")
        picture_input(config, options)

    def write(self, model, signatures, options, folder: Path, progress=None) -> Path:
        """Writes folder/model.onnx."""
        from visionport.graph.function import freeze_function
        from visionport.onnx.convert import convert
        from visionport.ops.portable import portable

        config = model.config
        try:
            with portable():
                signature = self.sign(model, signatures, options)
            inputs = [signature.input_name, *signature.more]
            graph = freeze_function(signature.function, {name: name for name in inputs}, lower=False)
            outputs = sorted(signature.function.structured_outputs)
            found = convert(graph, inputs, outputs, opset=options.opset)
        except UnsupportedError as e:
            raise UnsupportedError(f"{config.path}: --format onnx: {str(e).removeprefix(f'{config.path}: ')}") from None
        label(found, model, self.reading(model, signatures, options))
        target = folder / self.target
        target.write_bytes(found.SerializeToString(deterministic=True))
        trial.trust(target)
        return target

    def sign(self, model, signatures, options) -> Signature:
        """The signature that the file holds, traced as the context says."""
        answer = heads.answer_of(model, options.onnx_head)
        kind = picture_input(model.config, options)
        chosen = {"batch": options.batch, "input_name": input_name(model.config, kind, options)}
        if not kind:
            return sign_preprocessed(model, answer, **chosen)
        return sign_anew(model, kind, answer, image_size=model.config.picture_size, **chosen)

    def reading(self, model, signatures, options) -> Reading:
        config = model.config
        kind = picture_input(config, options)
        kind = kind or "tflite"
        name = input_name(config, picture_input(config, options), options)
        like = Signature(name=kind, kind=config.input_kinds.get(kind, kind), input_name=name, function=None)
        outputs = heads.names_of(config, options.onnx_head)
        return read_signature(like, model, input_name=name, name=SIGNATURE, outputs=outputs)

    def open(self, path: Path, reading: Reading, threads: int | None = None) -> OnnxRunner:
        if not trials.is_expendable():
            trial.try_file(path)
        return OnnxRunner(path, str(path), threads)

    def recognises(self, path: Path) -> bool:
        return contents.is_onnx(path)

    def check_foreign(self, path: Path) -> None:
        contents.check(path, contents.read(path))

    def missing_package(self) -> str:
        missing = [name for name in ("onnx", "onnxruntime") if not importlib.util.find_spec(name)]
        return f"{' and '.join(missing)} must be installed, by `pip install visionport[onnx]`" if missing else ""

    def network(self, path: Path, reading: Reading, threads: int | None = None) -> Network | None:
        model = contents.read(path)
        names = contents.before(model, SUPPRESSION)
        if not names:
            return None
        alone = contents.without(model, {*names}).SerializeToString()
        what = f"up to {', '.join(names)}"
        return Network(runner=OnnxRunner(alone, str(path), threads), reading=reading, what=what)

    def signatures(self, path: Path, reading: Reading) -> list[SignatureInfo]:
        model = contents.read(path)
        inputs, outputs = (
            tuple(Tensor(name=e.name, dtype=e.dtype, shape=e.shape) for e in side)
            for side in (contents.inputs(model), contents.outputs(model))
        )
        return [SignatureInfo(name=SIGNATURE, inputs=inputs, outputs=outputs)]

    def told(self, path: Path) -> Mapping[str, Any] | None:
        text = contents.metadata(contents.read(path)).get(TOLD)
        try:
            return json.loads(text) if text else None
        except ValueError:
            return None

    def tolerance(self, model, options):
        # Other kernels, and batch norms are folded into weights.
        if rounds(model):
            return OTHER_RUNTIME_FAKE_QUANTIZED
        return OTHER_RUNTIME_PROPOSALS if proposes(model) else OTHER_RUNTIME

    def snippet(self, artifact, content, task) -> str:
        return SNIPPET.format(**snippet_parts(artifact, content, task, "onnxruntime"))


def picture_input(config, options) -> str:
    """The input type that the file takes: the first of those asked for that is none of strings; "": preprocessed."""
    if options.onnx_preprocessing == "outside":
        return ""
    names = [split_name(given)[0] for given in options.inputs]
    found = next((name for name in names if type_of(config, name).dtype != "string"), None)
    if found is None:
        raise OptionError(
            f"--input {','.join(names)}: ONNX has no operation that decodes pictures. Take image_tensor or "
            "float_image_tensor for --format onnx, alone or besides."
        )
    return found


def input_name(config, kind: str, options) -> str:
    """What the file's picture input is called: as the SavedModel's."""
    return options.input_name or (type_of(config, kind).input_name if kind else "") or config.lineage.input_name


def label(found, model, reading: Reading) -> None:
    """Writes into the file what it is, and how it is asked."""
    from onnx import helper

    from visionport import __version__

    config, told = model.config, record(model, reading)
    how = told["preprocessing"]
    found.producer_name, found.producer_version = "visionport", __version__
    found.doc_string = f"{config.architecture} with {config.num_classes} classes"
    outside = reading.type == "preprocessed"
    properties = {
        "task": config.task,
        "architecture": config.architecture,
        "labels": json.dumps(told["labels"], ensure_ascii=False),
        "input_type": reading.type,
        "normalisation": "outside" if outside else "inside",
        "mean": json.dumps(how["mean"]),
        "std": json.dumps(how["std"]),
        TOLD: json.dumps(told, ensure_ascii=False, sort_keys=True),
    }
    helper.set_model_props(found, properties)


SNIPPET = """\
{imports}

model = onnxruntime.InferenceSession("{path}")
{feed}
names = [output.name for output in model.get_outputs()]
answer = dict(zip(names, model.run(names, {{{call}}})))
{end}"""

FORMAT = Onnx()
