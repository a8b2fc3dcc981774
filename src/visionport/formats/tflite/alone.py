"""A TFLite file without its export: what it is fed and what it gives, as the file itself tells."""

from pathlib import Path
from typing import Any

from visionport.formats.base import Asker, Reading
from visionport.formats.tflite.center_net import BOXES, KEYPOINTS
from visionport.formats.tflite.runner import TfliteRunner
from visionport.tasks.base import Task
from visionport.tflite import preprocessing
from visionport.tflite.edit import POSTPROCESS, SIGNATURE_OUTPUTS
from visionport.tflite.flatbuffer import op_names, parse, text


def open_alone(path: Path, task: Task) -> tuple[Asker, dict[int, str]]:
    """(Asker, labels) of any TFLite detector. Raises InputError where the file does not tell how to feed it."""
    how, labels = preprocessing.read(path)
    parsed = parse(path.read_bytes())
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
    runner = TfliteRunner(path, str(path), outputs, positional=True)
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
