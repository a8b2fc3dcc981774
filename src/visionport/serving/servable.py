"""One version of a model in memory, whatever kind of artifact it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport import manifest, prediction
from visionport.errors import InputError, OptionError, VisionportError
from visionport.formats import FORMATS, format_of
from visionport.formats.base import Reading, Runner, SignatureInfo
from visionport.prediction import Predictor
from visionport.serving.messages import DTYPES, message, number_of
from visionport.staging import is_export

SAVED_MODEL = "saved_model.pb"
DEFAULT = "serving_default"
PREDICT = "tensorflow/serving/predict"
# What else a version's folder may hold, or a version itself be, without a manifest.
BY_SUFFIX = {".tflite": "tflite", ".pb": "frozen_graph", ".onnx": "onnx", ".xml": "openvino", ".json": "tfjs"}


@dataclass(frozen=True, kw_only=True)
class Servable:
    """An artifact that is asked by its signatures, and about pictures where it is known how.

    path: the artifact. definitions: a SignatureDef for each signature, and for what else a SavedModel lists. predictor:
    None where there is no manifest that tells how pictures are put to it; why: why not.
    """

    format: str
    path: Path
    runner: Runner
    signatures: Mapping[str, SignatureInfo]
    definitions: Mapping[str, Any]
    predictor: Predictor | None = None
    why: str = ""

    @property
    def strict(self) -> bool:
        """Whether only the shapes of its signatures are taken: those of other SavedModels are often wrong."""
        return self.predictor is not None or self.format != "saved_model"

    @property
    def title(self) -> str:
        """The format's name for people."""
        return format_of(self.format).title

    @property
    def default(self) -> str:
        """The signature that is meant where none is named."""
        return DEFAULT if DEFAULT in self.signatures or not self.signatures else next(iter(self.signatures))

    def close(self) -> None:
        self.runner.close()


def is_model(path: Path) -> bool:
    """Whether it is a model itself, and not a folder of numbered versions."""
    return path.is_file() or is_export(path) or (path / SAVED_MODEL).is_file()


def lies_in_export(path: Path) -> bool:
    """Whether it is an export, or one of an export's artifacts; beside these may lie versions of another's making."""
    if is_export(path):
        return True
    folder = next((p for p in path.parents[:2] if is_export(p)), None)
    if folder is None:
        return False
    return not (path / SAVED_MODEL).is_file() or bool(prediction.artifacts_at(path, folder, manifest.read(folder)))


def open_servable(path: Path, kind: str | None = None, *, allow_unsafe_ops: bool = False) -> Servable:
    """The artifact at `path`: an export, one of its artifacts, a SavedModel, or a folder with one model file.

    kind: which format of an export. allow_unsafe_ops: whether graphs may do things outside, as of `prediction.load`.
    Raises VisionportError where there is none.
    """
    if lies_in_export(path):
        predictor = prediction.load(path, format=kind, allow_unsafe_ops=allow_unsafe_ops)
        return _servable(predictor.format, predictor.asker.runner, predictor.path, predictor)
    file, found = _model_file(path)
    if kind not in (None, found):
        raise OptionError(f"--format {kind}: {path} is {found}.")
    if not allow_unsafe_ops:
        format_of(found).check_foreign(file)
    if found == "tflite":
        try:
            predictor = prediction.load_alone(file, None)
            return _servable(found, predictor.asker.runner, file, predictor)
        except InputError as e:
            return _open_plain(file, found, str(e).replace(str(file), file.name))
    if prediction.told_by(file, found):
        predictor = prediction.load(file, format=found, allow_unsafe_ops=allow_unsafe_ops)
        return _servable(found, predictor.asker.runner, file, predictor)
    return _open_plain(file, found, "it lies in no export, so its preprocessing and labels are not known")


def _model_file(path: Path) -> tuple[Path, str]:
    """(what is to be opened, its format)."""
    if (path / SAVED_MODEL).is_file():
        return path, "saved_model"
    files = [path] if path.is_file() else sorted(f for f in path.glob("*") if f.suffix in BY_SUFFIX and f.is_file())
    known = [(f, BY_SUFFIX[f.suffix]) for f in files if BY_SUFFIX.get(f.suffix) in FORMATS]
    if len(known) != 1:
        names = ", ".join(f.name for f, _ in known) or "none"
        raise InputError(
            f"{path} is no export of visionport and no SavedModel, and holds not one other model but {names}. Name an "
            "export directory, a SavedModel, or a folder of numbered versions of either."
        )
    return known[0]


def _open_plain(path: Path, kind: str, why: str) -> Servable:
    fmt = format_of(kind)
    if missing := fmt.missing_package():
        raise OptionError(f"{path} cannot be opened here: {missing}.")
    return _servable(kind, fmt.open(path, Reading(input="", type="")), path, None, why)


def _servable(kind: str, runner: Runner, path: Path, predictor: Predictor | None, why: str = "") -> Servable:
    made = {name: define(signature) for name, signature in runner.signatures.items()}
    if (path / SAVED_MODEL).is_file():
        made |= read_definitions(path / SAVED_MODEL)
    return Servable(
        format=kind,
        path=path,
        runner=runner,
        signatures=runner.signatures,
        definitions=made,
        predictor=predictor,
        why=why,
    )


def read_definitions(path: Path) -> dict[str, Any]:
    """The SignatureDefs of a SavedModel, as it has them."""
    try:
        saved = message("tensorflow.SavedModel").FromString(path.read_bytes())
    except Exception as e:  # protobuf's own kinds of errors differ between its versions
        raise VisionportError(f"{path} cannot be read: {e}.") from None
    return dict(saved.meta_graphs[0].signature_def) if saved.meta_graphs else {}


def define(signature: SignatureInfo) -> Any:
    """A SignatureDef of what a runner says of a signature; no shape at all may be any."""
    made = message("tensorflow.SignatureDef")(method_name=PREDICT)
    for tensors, ends in ((signature.inputs, made.inputs), (signature.outputs, made.outputs)):
        for tensor in tensors:
            info = ends[tensor.name]
            info.name = f"{tensor.name}:0"
            info.dtype = number_of(tensor.dtype) if tensor.dtype in DTYPES else 0
            info.tensor_shape.unknown_rank = not tensor.shape
            for size in tensor.shape:
                info.tensor_shape.dim.add(size=-1 if size is None else size)
    return made
