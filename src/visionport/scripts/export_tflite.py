"""`export_tflite.py` of TF Official Vision: a SavedModel to TFLite, calibrated on the experiment's own pictures."""

import glob
import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from visionport import manifest
from visionport.apart import go_apart
from visionport.commands.common import show
from visionport.errors import InputError, OptionError, UnsupportedError, nearest
from visionport.exporter import export
from visionport.inputs import calibration, tfrecords
from visionport.inputs.quantization import EIGHT_BITS
from visionport.options import Options
from visionport.scripts import official
from visionport.scripts.flags import ALLOW_UNSAFE_OPS, Flag, call, print_command, start
from visionport.staging import check_file, is_export, scratch, write_file

FLAGS = (
    official.EXPERIMENT,
    official.CONFIG_FILE,
    official.OVERRIDE,
    Flag(name="saved_model_dir", required=True, help="The SavedModel, or an export that holds one."),
    Flag(name="tflite_path", required=True, help="The file to write."),
    Flag(name="quant_type", help="none, default, fp16, int8_full and others: see docs/migrate.md."),
    Flag(name="calibration_steps", default=500, kind=int, help="Pictures to calibrate with."),
    ALLOW_UNSAFE_OPS,
    Flag(name="denylisted_ops", default="", help="Ops that stay float32 in an int8 file, such as CAST,GREATER."),
)
# --quant_type -> (--quantize, --input-type of `visionport convert`). Any other that begins with int8 is int8.
QUANT_TYPES = {
    "": ("none", None),
    "none": ("none", None),
    "default": ("dynamic", None),
    "uint8": ("dynamic", None),
    "fp16": ("float16", None),
    "int8": ("int8", None),
    "int8_fallback": ("int8", None),
    "int8_full": ("int8", "uint8"),
    "int8_full_int8_io": ("int8", "int8"),
    "int8_full_fp32_io": ("int8", None),
    "qat": ("int8", "uint8"),
    "qat_fp32_io": ("int8", None),
}
QAT = ("qat", "qat_fp32_io")  # by the ranges that the model was trained with
CHILD = "saved_model"  # of an export


def run(flags) -> None:
    from visionport.commands.convert import report
    from visionport.config import read_config
    from visionport.conversion import convert
    from visionport.conversion.request import Request

    go_apart(Path(flags.tflite_path))
    quantize, input_type = quantization(flags.quant_type or "")
    source = saved_model(Path(flags.saved_model_dir))
    signature = default_signature(source)
    (taken,) = signature.inputs[:1]
    if (flags.quant_type or "") in QAT and not is_trained_for_8_bits(source):
        raise UnsupportedError(
            f"--quant_type={flags.quant_type}: {source} has no fake quantisation, so it was not trained for 8 bits. "
            "Take --quant_type=int8_full, which measures ranges, or default."
        )
    if taken.dtype == "string":
        convert_weights(flags, source, quantize, input_type)
        return
    size = None
    if len(taken.shape) == 4 and taken.shape[1] and taken.shape[2]:
        size = (taken.shape[1], taken.shape[2])
    config = read_config(**official.requested(flags, size), batch=1)
    excluded = tuple(op.strip() for op in flags.denylisted_ops.split(",") if op.strip())
    if excluded and quantize not in EIGHT_BITS:
        print(f"note: --denylisted_ops is for int8, and without effect on {quantize}.", file=sys.stderr)
        excluded = ()
    examples, records = None, []
    if quantize in EIGHT_BITS and flags.quant_type not in QAT:
        records = recorded(config)
        examples = examples_of(config, records, flags.calibration_steps, taken.dtype)
    shapes = {} if size or len(taken.shape) != 4 else {taken.name: (1, *input_size(config), 3)}
    out = Path(flags.tflite_path)
    given: list[tuple[str, Any]] = [
        ("--quantize", quantize if quantize != "none" else ""),
        ("--input-type", input_type),
    ]
    given += [("--calibration", records[0])] if records else []
    given += [("--quantize-exclude", ",".join(excluded))]
    given += [("--input-shape", f"{name}={','.join(map(str, shape))}") for name, shape in shapes.items()]
    given += [("--allow-unsafe-ops", flags.allow_unsafe_ops)]
    print_command("convert", [(str(source), True), ("--out", out), *given, ("--overwrite", out.exists())])
    request = Request(
        source=source,
        out=out,
        shapes=shapes,
        quantize=quantize,
        quantize_exclude=excluded,
        calibration=examples,
        input_type=input_type,
        allow_unsafe_ops=flags.allow_unsafe_ops,
        overwrite=True,
    )
    report(convert.run(request), source)


def convert_weights(flags, source: Path, quantize: str, input_type: str | None) -> None:
    """A SavedModel of encoded pictures, which TFLite cannot decode: its weights are exported, if it is one of ours."""
    from visionport.config import read_config
    from visionport.scripts.exports import words
    from visionport.verification.table import table

    request = official.requested(flags, exported_size(source))
    records = recorded(read_config(**request)) if quantize in EIGHT_BITS else []
    out = Path(flags.tflite_path)
    check_file(out, overwrite=True, inputs=[source, *records[:1]])
    with scratch() as folder:
        options = Options(
            **request,
            checkpoint=source,
            out=folder / "exported",
            formats=("tflite",),
            quantize=quantize,
            calibration=records[0] if records else None,
            tflite_input=input_type,
        )
        print_command("export", words(replace(options, out=out.with_suffix(""))))
        done = export(options)
        write_file(out, [(options.out / done.artifacts[0].path).read_bytes()], overwrite=True, inputs=[source])
    print(f"{out}  {out.stat().st_size / 1e6:.1f} MB")
    show(table(done.checks))


def exported_size(source: Path) -> tuple[int, int] | None:
    """The --image-size of the export that a SavedModel lies in; None where it lies in none, or had none."""
    for folder in (source, source.parent):
        if is_export(folder):
            height, width = manifest.read(folder)["options"].get("image_size") or (None, None)
            return (height, width) if height and width else None
    return None


def quantization(name: str) -> tuple[str, str | None]:
    if name not in QUANT_TYPES and name.startswith("int8"):
        return "int8", None
    if name not in QUANT_TYPES:
        known = [n for n in QUANT_TYPES if n]
        raise OptionError(f"--quant_type={name} is unknown{nearest(name, known)}. One of: {', '.join(known)}.")
    return QUANT_TYPES[name]


def saved_model(path: Path) -> Path:
    """The SavedModel's folder: itself, or in an export."""
    for folder in (path, path / CHILD):
        if (folder / "saved_model.pb").is_file():
            return folder
    raise InputError(f"--saved_model_dir={path}: no SavedModel there (saved_model.pb).")


def default_signature(source: Path):
    """The signature that is converted: serving_default, or the only one."""
    from visionport.formats.saved_model import read_signatures
    from visionport.graph.sources import read_saved_model

    read_saved_model(source)  # raises for what is damaged
    found = read_signatures(source)
    if not found or not found[0].inputs:
        raise InputError(f"{source} has no signature that says what goes in.")
    return found[0]


def is_trained_for_8_bits(source: Path) -> bool:
    """Whether there is fake quantisation in it."""
    from visionport.graph.sources import read_saved_model

    graph = read_saved_model(source).meta_graphs[0].graph_def
    bodies = (n for f in graph.library.function for n in f.node_def)
    return any(n.op.startswith("FakeQuant") for n in itertools.chain(graph.node, bodies))


# --- pictures to calibrate with ---


def recorded(config) -> list[Path]:
    """The TFRecords that the experiment trains on, or else those that it validates on."""
    tree = config.source.tree["task"]
    for place in ("train_data", "validation_data"):
        given = tree[place].get("input_path") or ()
        patterns = given.split(",") if isinstance(given, str) else given
        found = sorted({Path(f) for pattern in patterns for f in glob.glob(str(pattern).strip())})
        if found := [f for f in found if f.is_file()]:
            return found
    raise InputError(
        "int8 is calibrated on the experiment's pictures, and there is no file at task.train_data.input_path or "
        "task.validation_data.input_path: --params_override=task.train_data.input_path=FILE.tfrecord names one."
    )


def examples_of(config, records: list[Path], steps: int, dtype: str) -> calibration.Examples:
    """The first pictures of those files, as the model takes them: by the task's preprocessing, without augmentation."""
    from visionport.inputs.preprocessing import describe, prepare
    from visionport.models.build import meta_of

    if config.task == "video":
        raise UnsupportedError("videos are not calibrated, by the original neither. Take --quant_type=default or fp16.")
    how = describe(config.model.resizer, meta_of(config).normalization(config.model))
    raw = list(itertools.islice((r for file in records for r in tfrecords.read(file, calibration.OPTION)), steps))

    def read() -> Iterator[list[np.ndarray]]:
        for record in raw:
            picture = tfrecords.parse_example(record, "a record of the calibration").picture()
            yield [picture[None] if dtype == "uint8" else prepare(picture, how)[0]]

    black, white = (prepare(np.full((8, 8, 3), gray, np.uint8), how)[0] for gray in (0, 255))
    middle = tuple(side // 2 for side in black.shape[1:3])
    ends = None if dtype == "uint8" else (black[0][middle], white[0][middle])
    return calibration.Examples(read=read, count=len(raw), ends=ends)


def input_size(config) -> tuple[int, int]:
    from visionport.models.build import input_size

    height, width, *_ = input_size(config)
    return height or 224, width or 224


def main(arguments=None) -> None:
    call("Converts a SavedModel of TF Official Vision to TFLite.", FLAGS, run, arguments)


if __name__ == "__main__":
    start(main)
