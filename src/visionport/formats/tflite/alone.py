"""A TFLite file without its export: what it is fed and what it gives, as the file itself tells."""

from pathlib import Path
from typing import Any

from visionport.errors import InputError
from visionport.formats.base import Asker, Reading
from visionport.formats.tflite.center_net import BOXES, KEYPOINTS
from visionport.formats.tflite.runner import TfliteRunner
from visionport.tasks.base import Task
from visionport.tflite import preprocessing, trial
from visionport.tflite.contents import read_file
from visionport.tflite.edit import POSTPROCESS, SIGNATURE, SIGNATURE_OUTPUTS
from visionport.tflite.flatbuffer import op_names, parse, text


def open_alone(path: Path, task: Task, threads: int | None = None) -> tuple[Asker, dict[int, str]]:
    """(Asker, labels) of any TFLite detector. Raises InputError where the file does not tell how to feed it."""
    how, labels = preprocessing.read(path)
    data = read_file(path)
    parsed = parse(data)
    main = parsed.subgraphs[0]
    source = text(main.tensors[main.inputs[0]].name)
    names = [text(main.tensors[i].name) for i in main.outputs]
    answers: dict[str, Any] = {"classes_from": 0, "boxes": "frame"}
    outputs = order_of_op(parsed)
    if outputs:
        answers["drops_empty"] = True
    elif {*BOXES} <= {*names}:
        outputs = tuple(name for name in names if name in (*BOXES, *KEYPOINTS))
    # "preprocessed": what `how` says is what the file wants, pixels or not.
    reading = Reading(input=source, type="preprocessed", answers=answers, outputs=outputs)
    trial.try_file(data, str(path))
    runner = TfliteRunner(data, str(path), outputs, positional=True, threads=threads)
    inputs = runner.signatures[SIGNATURE].inputs
    if len(inputs) != 1:
        raise InputError(f"{path}: it takes {', '.join(t.name for t in inputs) or 'nothing'}; predict takes one image.")
    return Asker(runner=runner, reading=reading, task=task, how=how), labels


def order_of_op(parsed) -> tuple[str, ...]:
    """What the file's outputs are, in their order: whatever that is, the op's own is fixed. () without the op."""
    main, codes = parsed.subgraphs[0], op_names(parsed)
    ops = [op for op in main.operators or () if codes[op.opcodeIndex][0] == POSTPROCESS]
    if not ops:
        return ()
    meaning = dict(zip((int(i) for i in ops[0].outputs), SIGNATURE_OUTPUTS, strict=False))
    ends = [int(i) for i in main.outputs]
    return tuple(meaning.get(i, f"output {k}") for k, i in enumerate(ends)) if {*meaning} <= {*ends} else ()
