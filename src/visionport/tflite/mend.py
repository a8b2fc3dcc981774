"""Files of other makers mended: outputs in the order that clients read, names, metadata, labels. No network is touched.

A detector's outputs are boxes, classes, scores and count, in this order. Which is which is known by the op that gives
them, or by their names; the converter of TF2 scrambles them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visionport.config import labels as label_maps
from visionport.errors import ArtifactError, InputError, OptionError, nearest
from visionport.tflite import checks, edit, metadata, trial
from visionport.tflite.contents import Contents, Tensor, read_contents
from visionport.tflite.flatbuffer import parse, serialize, text
from visionport.tflite.packed import cut_packed, labels_of

NAMES = (edit.POSTPROCESS, *(f"{edit.POSTPROCESS}:{i}" for i in (1, 2, 3)))  # as the op's own outputs are called
CONTRACT = "boxes, classes, scores, count"


@dataclass(frozen=True, kw_only=True)
class MendRequest:
    """What is to be mended.

    outputs: the file's outputs in the order to have, by their tensors' or signature's names or as positions; none: a
    detector's in the contract's order, others as they are. names: output or input -> another name. mean, std: (pixel -
    mean) / std is what the input takes, one number or one per channel. labels: a label map, or a name per line.
    name, description: of the metadata.
    """

    outputs: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    labels: Path | None = None
    name: str = ""
    description: str = ""

    def check(self) -> None:
        """Raises OptionError for what contradicts itself."""
        if len(self.mean) != len(self.std) or len(self.mean) not in (0, 1, 3):
            raise OptionError("--mean and --std go together: one number, or three: of red, green and blue.")
        if any(not s > 0 for s in self.std):
            raise OptionError(f"--std {','.join(map(str, self.std))}: above 0.")
        if len(set(self.names.values())) != len(self.names):
            raise OptionError("--rename: two tensors of the same new name. Name each otherwise.")


@dataclass(frozen=True, kw_only=True)
class Mended:
    """The file, its outputs as (name before, name now), and what readers would miss; "" for nothing."""

    data: bytes
    outputs: tuple[tuple[str, str], ...]
    incomplete: str = ""


def mend_file(model: bytes, request: MendRequest) -> Mended:
    """The file with what is asked for. Raises OptionError for names that are none of its own."""
    request.check()
    before = read_contents(model)
    said = metadata.read(model, before.parsed)
    lines, said_image = "".join(f"{line}\n" for line in labels_of(model)), said_input(said)
    bare = without_metadata(model)
    order = [find_output(before, name) for name in request.outputs] or contract_order(before)
    order = order or list(range(len(before.outputs)))
    if sorted(order) != list(range(len(before.outputs))):
        have = ", ".join(t.name for t in before.outputs)
        raise OptionError(f"--outputs {','.join(request.outputs)}: each output once. The file has: {have}.")
    olds = [before.outputs[i].name for i in order]
    detects = is_contract([before.outputs[i] for i in order])
    news = new_names(before, olds, request.names, detects=detects)
    inputs = {t.name: request.names.get(t.name, t.name) for t in before.inputs}
    data = edit.name_ends(bare, list(inputs), olds, list(inputs.values()), news)
    if detects:
        keys: list[str] = [*edit.SIGNATURE_OUTPUTS, *edit.REFERENCE_SIGNATURE_OUTPUTS]
        data = edit.sign(data, dict(zip(keys, news * 2, strict=True)))
    check_same(bare, data, dict(zip(news, olds, strict=True)), {new: old for old, new in inputs.items()})
    after = read_contents(data)
    image, outputs = describe_image(after, request, said_image), {}
    if request.labels:
        lines, outputs = describe_labels(after, request, detects=detects)
    incomplete = ""
    if image or lines or request.name or request.description:
        name = request.name or (said or {}).get("name") or "model"
        description = request.description or (said or {}).get("description") or f"{name}, edited"
        data = metadata.add(data, name=name, description=description, image=image, labels=lines, outputs=outputs)
        if not image:
            incomplete = "the file does not say how pixels are normalised, so that MediaPipe refuses it: see --mean."
    return Mended(data=data, outputs=tuple(zip(olds, news, strict=True)), incomplete=incomplete)


def find_output(file: Contents, name: str) -> int:
    """An output's position, of its tensor's name, its name in a signature, or the position itself."""
    names = [t.name for t in file.outputs]
    if name in names:
        return names.index(name)
    for signature in file.parsed.signatureDefs or ():
        for entry in signature.outputs or ():
            tensor = file.tensors[signature.subgraphIndex or 0][entry.tensorIndex].name
            if text(entry.name) == name and tensor in names:
                return names.index(tensor)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise OptionError(f"--outputs {name!r}: no such output{nearest(name, names)}. The file has: {', '.join(names)}.")


def contract_order(file: Contents) -> list[int]:
    """Positions of boxes, classes, scores and count; none where that is not known."""
    names = [t.name for t in file.outputs]
    if len(names) != 4:
        return []
    for op in file.main:
        given = [t.name for t in op.outputs]
        if op.name == edit.POSTPROCESS and sorted(given) == sorted(names):
            return [names.index(name) for name in given]
    for wanted in (edit.SIGNATURE_OUTPUTS, edit.REFERENCE_SIGNATURE_OUTPUTS):
        try:
            order = [find_output(file, name) for name in wanted]
        except OptionError:
            continue
        if is_contract([file.outputs[i] for i in order]):
            return order
    return []


def is_contract(outputs: Sequence[Tensor]) -> bool:
    """Have they the shapes of boxes [1, n, 4], classes and scores [1, n] and a count? Unknown ones may have."""
    if len(outputs) != 4:
        return False
    boxes, classes, scores, count = (t.shape for t in outputs)
    if not any((boxes, classes, scores)):
        return outputs[0].name == edit.POSTPROCESS
    return len(boxes) == 3 and boxes[2] == 4 and boxes[:2] == classes == scores and len(count) < 2


def new_names(file: Contents, olds: Sequence[str], names: Mapping[str, str], *, detects: bool) -> list[str]:
    """What the outputs are to be called."""
    known = [*olds, *(t.name for t in file.inputs)]
    for name in names:
        if name not in known:
            raise OptionError(f"--rename {name}: no input or output{nearest(name, known)}. It has: {', '.join(known)}.")
    own = dict(zip(olds, NAMES, strict=True)) if detects and not set(names) & set(olds) else {}
    return [names.get(name, own.get(name, name)) for name in olds]


def without_metadata(model: bytes) -> bytes:
    """The file without TFLite Metadata and what is packed behind it, which no edit would keep."""
    parsed = parse(cut_packed(model), edit=True)
    for entry in parsed.metadata or ():
        if text(entry.name) == metadata.NAME:
            parsed.buffers[entry.buffer].data = None
    parsed.metadata = [e for e in parsed.metadata or () if text(e.name) != metadata.NAME] or None
    return serialize(parsed)


def said_input(said: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the metadata that is there says of the first input."""
    inputs = [t for g in (said or {"subgraphs": []})["subgraphs"][:1] for t in g["inputs"][:1]]
    return inputs[0] if inputs else {}


def describe_image(file: Contents, request: MendRequest, said: Mapping[str, Any]) -> metadata.Image | None:
    """What the input is, where it is one image of a fixed size whose normalisation is known."""
    image, *more = file.inputs
    mean, std = (request.mean, request.std) if request.mean else (said.get(k, ()) for k in ("mean", "std"))
    fits = not more and len(image.shape) == 4 and image.shape[0] == 1 and -1 not in image.shape
    if request.mean and not (fits and image.shape[3] in (1, 3)):
        raise OptionError(
            "--mean and --std are of pictures: the file takes no single image [1, height, width, 3 or 1]."
        )
    if not fits or image.shape[3] not in (1, 3):
        return None
    if not mean and image.dtype == "uint8":
        mean, std = (0.0,), (1.0,)
    if not mean:
        return None
    channels = image.shape[3]
    mean, std = (tuple(v) * channels if len(v) == 1 else tuple(v[:channels]) for v in (mean, std))
    return metadata.Image(name=said.get("name") or image.name, mean=mean, std=std, grayscale=channels == 1)


def describe_labels(file: Contents, request: MendRequest, *, detects: bool):
    """(the text of labels.txt, what is said of outputs that have a number per class)."""
    path = request.labels
    assert path
    if not path.exists():
        raise InputError(f"--labels {path}: no such file.")
    if not detects:
        return metadata.label_outputs(path, {t.name: t.shape for t in file.outputs})
    given = [op.attributes.get("num_classes") for op in file.main if op.name == edit.POSTPROCESS]
    found = label_maps.read_label_map(path)
    count = int(given[0] or 0) if given else max(found)
    lines = label_maps.lines(path, count) or label_maps.write_labels(found, count)
    if max(found) > count:
        raise OptionError(f"--labels {path}: {max(found)} classes, and the file has {count}.")
    return lines, {}


def check_same(before: bytes, after: bytes, outputs: Mapping[str, str], inputs: Mapping[str, str]) -> None:
    """Raises ArtifactError where the edited file does not give the same numbers. Names: now -> before."""
    if checks.unknown_ops(before):
        return
    trial.try_file(before, "the file")
    old, new = checks.runs(before, "the file"), checks.runs(after, "the edited file")
    details = new.get_input_details()
    if any(np.dtype(d["dtype"]).kind not in "fiubc" for d in details):
        return
    given = {d["name"]: checks.noise(d["shape"], d["dtype"], seed) for seed, d in enumerate(details)}
    wanted = checks.run(old, {inputs[k]: v for k, v in given.items()})
    found = checks.run(new, given)
    differs = [k for k, v in found.items() if not np.array_equal(v, wanted[outputs[k]], equal_nan=v.dtype.kind == "f")]
    if differs:
        raise ArtifactError(f"the edited file gives other numbers for {', '.join(differs)}. Please report it.")
