"""Which published configs and experiments can become files of other runtimes, found by tracing each for them.

python scripts/runtimes.py [NAME ...]      try these, or all, and keep what is found in scripts/runtimes.json

Weights matter to none of it, so names and shapes are enough: those of tests/zoo.json.xz and, where it is there, of
../shared/golden/vision. scripts/support.py makes the table of docs/support.md of what is kept.
"""

import gc
import json
import lzma
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "scripts" / "runtimes.json"
sys.path.insert(0, str(ROOT / "tests"))

LOOPS = {"While", "StatelessWhile", "TensorListReserve", "Enter"}
YES, ONE = "yes", "with `--batch 1`"


def candidates() -> Iterator[tuple[str, Callable]]:
    """(name, a function that reads its config and its checkpoint's index), those of few variables first."""
    from checkpoint.test_zoo import index_of
    from official_models import config_of, exported_checkpoint, labels, variants

    from visionport.config import read_config

    zoo = json.loads(lzma.decompress((ROOT / "tests" / "zoo.json.xz").read_bytes()))

    def published(name: str):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.config"
            file.write_text(zoo[name]["config"])
            return read_config(file), index_of(zoo[name]["variables"])

    for name in sorted((n for n in zoo if " " not in n), key=lambda n: (len(zoo[n]["variables"]), n)):
        yield name, lambda n=name: published(n)
    for label in labels():
        if label not in variants():
            yield label, lambda n=label: (config_of(n), exported_checkpoint(n))


def operations(config, checkpoint, batch: int | None) -> set[str]:
    """The kinds of all operations of the whole model, from the picture to the detections."""
    import tensorflow as tf

    from visionport.inputs.types import type_of
    from visionport.models import build
    from visionport.ops.portable import portable

    meta = build.meta_of(config)
    scope = build.params_for(config, checkpoint, dry=True).scope()
    kind = type_of(config, "image_tensor")
    graph = tf.__internal__.FuncGraph("whole")
    with graph.as_default(), portable():
        given = tf.raw_ops.Placeholder(dtype=tf.uint8, shape=kind.shape(batch, config.picture_size or (None, None)))
        images, shapes = kind.prepare(lambda x: build.preprocess(config, meta, x), given)
        images = tf.ensure_shape(images, (batch, *build.input_size(config)))
        side = [tf.raw_ops.Placeholder(dtype=i.dtype, shape=i.shape) for i in build.side_inputs_of(config)]
        prediction = meta.predict(config.model, scope, images, shapes, *side)
        meta.exported(config, meta.postprocess(config.model, scope, prediction, images, shapes))
    definition = graph.as_graph_def()
    nodes = [definition.node, *(f.node_def for f in definition.library.function)]
    return {node.op for part in nodes for node in part}


def try_onnx(config, checkpoint) -> str:
    """YES, ONE, or why not."""
    from visionport.errors import UnsupportedError
    from visionport.onnx.operations import OPS

    unknown: set[str] = set()
    for batch, answer in ((None, YES), (1, ONE)):
        try:
            found = operations(config, checkpoint, batch)
        except UnsupportedError as e:
            return f"decoded boxes alone: {str(e).rstrip('.')}"
        unknown = found - set(OPS) - {"Placeholder", "Const", "NoOp"} - LOOPS
        if not unknown and not found & LOOPS:
            return answer
    return f"no: {', '.join(sorted(unknown)) or 'loops'}"


RUNTIMES = {"onnx": try_onnx}


def main() -> None:
    kept: dict[str, dict[str, Any]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name, read in candidates():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        try:
            config, checkpoint = read()
            found = {runtime: attempt(config, checkpoint) for runtime, attempt in RUNTIMES.items()}
        except Exception as e:  # told, and not kept
            print(name, type(e).__name__, str(e)[:300], flush=True)
            continue
        print(name, found, flush=True)
        kept[name] = kept.get(name, {}) | found
        KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
        gc.collect()


if __name__ == "__main__":
    main()
