"""OpenVINO model: model.xml and model.bin, preprocessing and suppression inside."""

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from visionport import trials
from visionport.errors import OptionError, UnsupportedError
from visionport.formats import heads
from visionport.formats.base import (
    Network,
    Reading,
    SignatureInfo,
    proposes,
    read_signature,
    rounds,
    snippet_parts,
)
from visionport.formats.openvino import ir, model_api, model_info, trial
from visionport.formats.openvino.options import MODEL_API
from visionport.formats.openvino.runner import EXACT, OpenvinoRunner
from visionport.formats.options import HEADS
from visionport.inputs.types import INPUT_TYPES, split_name
from visionport.progress import size_of
from visionport.verification.bounds import (
    OTHER_RUNTIME,
    OTHER_RUNTIME_FAKE_QUANTIZED,
    OTHER_RUNTIME_PROPOSALS,
    QUANTIZED,
)

FOLDER = "openvino"


class Openvino(heads.Headed):
    """See formats/base.py. The first signature of pictures is the one that it holds."""

    name = "openvino"
    title = "OpenVINO"
    target = f"{FOLDER}/model.xml"
    runtime = ("openvino",)

    def check(self, config, options) -> None:
        asked = {"openvino": "--format openvino"}
        if options.openvino_precision == "int8":
            asked["nncf"] = "--openvino-precision int8"
        for package, flag in asked.items():
            if not importlib.util.find_spec(package):
                raise OptionError(f"{flag}: {package} is not installed. Take `pip install visionport[{package}]`.")
        if options.openvino_head == MODEL_API:
            model_api.check(config, f"--openvino-head {MODEL_API}")
        else:
            heads.check(config, options.openvino_head, "--openvino-head")
        if not any(takes_pictures(config, given) for given in options.inputs):
            raise UnsupportedError(
                f"{config.path}: --format openvino: OpenVINO has no operation that reads JPEG or PNG, and --input "
                f"{','.join(options.inputs)} has no picture of pixels. Add image_tensor."
            )
        if options.openvino_precision == "int8":
            check_quantization(config, options)

    def targets(self, options) -> tuple[str, ...]:
        return (FOLDER,)

    def write(self, model, signatures, options, folder: Path, progress=None) -> Path:
        """Writes folder/openvino/model.xml and model.bin."""
        import openvino

        from visionport.formats.openvino import conversion, quantization
        from visionport.ops.portable import portable
        from visionport.signatures import sign_anew

        first = chosen(model, signatures)
        arranged = converted(model, options)
        answer = model_api.answer_of(model) if arranged else heads.answer_of(model, self.head(options))
        how = {"batch": options.batch, "image_size": model.config.picture_size}
        how |= {"input_name": options.input_name}
        path = model.config.path
        try:
            with portable():
                signature = sign_anew(model, first.name, conversion.sized(model, answer, options.batch), **how)
            names = {signature.input_name: signature.input_name} | {name: name for name in signature.more}
            network = conversion.convert(signature.function, names, model.config.architecture)
        except UnsupportedError as e:
            raise UnsupportedError(f"{path}: --format openvino: {str(e).removeprefix(f'{path}: ')}") from None
        if options.openvino_precision == "int8":
            network = quantization.quantize(network, model, first, options.calibration, progress)
        kind = arranged.type if arranged else ""
        model_info.describe(network, model, self.reading(model, signatures, options), kind)
        target = folder / self.target
        target.parent.mkdir()
        openvino.save_model(network, target, compress_to_fp16=options.openvino_precision == "f16")
        trial.trust(target)
        return target

    def head(self, options) -> str:
        """One of HEADS; what the Model API reads is made of detections."""
        return HEADS[0] if options.openvino_head == MODEL_API else options.openvino_head

    def reading(self, model, signatures, options) -> Reading:
        first = chosen(model, signatures)
        outputs = heads.names_of(model.config, self.head(options))
        found = read_signature(first, model, input_name=first.input_name, name=ir.SIGNATURE, outputs=outputs)
        if convention := converted(model, options):
            kinds = dict.fromkeys(convention.names, "float32")
            found = replace(found, answers=convention.answers, dtypes=kinds)
        return found

    def left_out(self, model, options, outputs) -> Mapping[str, str]:
        convention = converted(model, options)
        if not convention:
            return super().left_out(model, options, outputs)
        reason = f"--openvino-head {MODEL_API} gives what the Model API reads"
        return {name: reason for name in outputs if name not in convention.names}

    def told(self, path: Path) -> Mapping[str, Any] | None:
        return model_info.read_record(ir.read(path))

    def open(self, path: Path, reading: Reading, threads: int | None = None) -> OpenvinoRunner:
        if not trials.is_expendable():
            trial.try_model(path)
        return OpenvinoRunner(path, str(path), threads, model_api.followed(t.name for t in ir.read(path).outputs))

    def recognises(self, path: Path) -> bool:
        return ir.is_ir(path)

    def size(self, path: Path) -> int:
        return size_of(path) + size_of(ir.weights_of(path))

    def network(self, path: Path, reading: Reading, threads: int | None = None) -> Network | None:
        from visionport.formats.openvino.conversion import cut_suppression

        network, names = cut_suppression(path)
        if not names:
            return None
        runner = OpenvinoRunner(network, str(path), threads)
        return Network(runner=runner, reading=reading, what=f"with preprocessing, up to {', '.join(names)}")

    def precision(self, path: Path) -> str:
        return ir.read(path).precision

    def check_foreign(self, path: Path) -> None:
        ir.read(path)

    def missing_package(self) -> str:
        known = importlib.util.find_spec("openvino")
        return "" if known else "openvino must be installed, by `pip install visionport[openvino]`"

    def signatures(self, path: Path, reading: Reading) -> list[SignatureInfo]:
        return [ir.read(path).signature]

    def loss(self, model, options) -> str:
        return {"f16": "float16", "int8": "int8"}.get(options.openvino_precision, "")

    def tolerance(self, model, options):
        loss = self.loss(model, options)
        if loss:
            return QUANTIZED[loss]
        if rounds(model):
            return OTHER_RUNTIME_FAKE_QUANTIZED
        return OTHER_RUNTIME_PROPOSALS if proposes(model) else OTHER_RUNTIME

    def snippet(self, artifact, content, task) -> str:
        outputs = artifact["signatures"][0]["outputs"]
        if model_api.followed(t["name"] for t in outputs):
            return model_api.SNIPPET.format(path=artifact["path"])
        return SNIPPET.format(exact=EXACT, **snippet_parts(artifact, content, task, "openvino"))


def takes_pictures(config, given: str) -> bool:
    """Whether an input type (TYPE or TYPE:SIGNATURE) takes pixels, which OpenVINO can."""
    name, _ = split_name(given)
    kind = INPUT_TYPES.get(config.input_kinds.get(name, name))
    return kind is not None and kind.is_image


def chosen(model, signatures):
    """The signature that an OpenVINO model holds."""
    return next(s for s in signatures if takes_pictures(model.config, s.name))


def converted(model, options) -> model_api.Convention | None:
    """How the outputs are arranged for the Model API, where that is asked for."""
    return model_api.of(model.config) if options.openvino_head == MODEL_API else None


def check_quantization(config, options) -> None:
    """Raises where 8 bits have been trained already, or pictures are missing."""
    from visionport.inputs import calibration

    if config.quantized:
        raise OptionError(
            "--openvino-precision int8: this checkpoint was trained for 8 bits (graph_rewriter), and its OpenVINO "
            "model rounds as these do. Leave it out."
        )
    calibration.sources(options.calibration)


SNIPPET = """\
{imports}

model = openvino.compile_model("{path}", "CPU", {exact})
{feed}
found = model({{{call}}})
answer = {{name: value for output, value in found.items() for name in output.names}}
{end}"""

FORMAT = Openvino()
