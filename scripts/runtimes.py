"""Which published configs and experiments can become files of other runtimes, found by tracing each for them.

python scripts/runtimes.py [--runtime NAME] [CONFIG ...]      try these, or all, and keep what is found in
                                                              scripts/runtimes.json
Weights matter to none of it, so names and shapes are enough: those of tests/zoo.json.xz and, where it is there, of
../shared/golden/vision. scripts/support.py makes the table of docs/support.md of what is kept.
"""

import argparse
import gc
import json
import lzma
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "scripts" / "runtimes.json"
sys.path.insert(0, str(ROOT / "tests"))

LOOPS = {"While", "StatelessWhile", "TensorListReserve", "Enter"}
UNREAD = {"Placeholder", "Const", "NoOp", "Assert"}  # nobody reads what an Assert gives, so it is left out
YES, ONE = "yes", "with `--batch 1`"
PICTURE, WEIGHT = 320, 0.01  # what a model is tried with
FAKE_QUANT, LIMITS = "FakeQuantWithMinMaxVars", (-1.0, 1.0)


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


def whole(config, checkpoint, batch: int | None, head: str = "detections", *, preprocessed: bool = False):
    """The model up to such a head: (GraphDef, its inputs, its outputs by name). Weights are constants.

    preprocessed: it takes what the network itself does, and no pictures.
    """
    import tensorflow as tf

    from visionport.formats import heads
    from visionport.inputs.types import type_of
    from visionport.models import build
    from visionport.ops.portable import portable

    meta = build.meta_of(config)
    params = build.params_for(config, checkpoint, dry=True)
    scope = params.scope()
    kind = type_of(config, "image_tensor")
    size = (batch, *build.input_size(config))
    graph = tf.__internal__.FuncGraph("whole")
    with graph.as_default(), portable():
        if preprocessed:
            given = images = tf.raw_ops.Placeholder(dtype=tf.float32, shape=size)
            shapes = tf.shape(images)[None, 1:]
        else:
            given = tf.raw_ops.Placeholder(dtype=tf.uint8, shape=kind.shape(batch, config.picture_size or (None, None)))
            images, shapes = kind.prepare(lambda x: build.preprocess(config, meta, x), given)
            images = tf.ensure_shape(images, size)
        side = [tf.raw_ops.Placeholder(dtype=i.dtype, shape=i.shape) for i in build.side_inputs_of(config)]
        prediction = meta.predict(config.model, scope, images, shapes, *side)
        if head == "detections":
            found = meta.exported(config, meta.postprocess(config.model, scope, prediction, images, shapes))
        else:
            model: Any = SimpleNamespace(config=config, meta=meta, params=params)
            found = heads.outputs_of(model, head, images, shapes, prediction)
        left_out = getattr(meta, "OF_PICTURES", ()) if preprocessed else ()
        outputs = {name: tf.identity(value).op.name for name, value in found.items() if name not in left_out}
    definition, inputs = graph.as_graph_def(), [t.op.name for t in (given, *side)]
    fill(definition, inputs)
    return definition, inputs, outputs


def fill(definition, inputs: list[str]) -> None:
    """Weights become constants, which take no room: one value for all of each."""
    import tensorflow as tf

    limits = {node.input[i]: LIMITS[i - 1] for node in definition.node if node.op == FAKE_QUANT for i in (1, 2)}
    for node in definition.node:
        if node.op != "Placeholder" or node.name in inputs:
            continue
        value = node.attr["value"].tensor
        value.dtype = tf.float32.as_datatype_enum
        value.tensor_shape.CopyFrom(node.attr["shape"].shape)
        value.float_val.append(limits.get(node.name, WEIGHT))
        node.op = "Const"
        del node.attr["shape"]


def nodes(definition) -> Iterator:
    """Those of its functions too."""
    for part in (definition.node, *(f.node_def for f in definition.library.function)):
        yield from part


def try_onnx(config, checkpoint) -> str:
    """YES, ONE, or why not."""
    from visionport.errors import UnsupportedError
    from visionport.onnx.operations import OPS

    unknown: set[str] = set()
    for batch, answer in ((None, YES), (1, ONE)):
        try:
            definition, *_ = whole(config, checkpoint, batch)
        except UnsupportedError as e:
            return f"decoded boxes alone: {str(e).rstrip('.')}"
        found = {node.op for node in nodes(definition)}
        unknown = found - set(OPS) - UNREAD - LOOPS
        if not unknown and not found & LOOPS:
            return answer
    return f"no: {', '.join(sorted(unknown)) or 'loops'}"


def try_openvino(config, checkpoint) -> str:
    """YES, ONE, or why not: converted, compiled and run on a picture, with weights that are all the same."""
    import numpy as np

    from visionport.errors import ArtifactError, UnsupportedError
    from visionport.formats.openvino import conversion
    from visionport.formats.openvino.runner import OpenvinoRunner

    said = ""
    for batch, answer in ((None, YES), (1, ONE)):
        try:
            definition, _, outputs = whole(config, checkpoint, batch)
        except UnsupportedError as e:
            return f"decoded boxes alone: {str(e).rstrip('.')}"
        with tempfile.NamedTemporaryFile(suffix=".pb") as file:
            file.write(definition.SerializeToString())
            file.flush()
            del definition
            try:
                network = conversion.read_graph(Path(file.name), list(outputs.values()), "whole")
                conversion.sort_unstably(network)
                runner = OpenvinoRunner(network, "it")
                (signature,) = runner.signatures.values()
                size = config.picture_size or (PICTURE, PICTURE)
                shape = {4: (1, *size, 3), 5: (1, *signature.inputs[0].shape[1:2], *size, 3)}
                feeds = {}
                for t in signature.inputs:
                    wanted = [n or 1 for n in t.shape]
                    sizes = shape.get(len(wanted), wanted) if t.dtype == "uint8" else wanted
                    feeds[t.name] = np.ones([n or 1 for n in sizes], t.dtype)
                runner.call(signature.name, feeds)
                return answer
            except (ArtifactError, UnsupportedError) as e:
                said = said or str(e).partition(": ")[2].rstrip(".")
    return f"no: {said}"


def try_tfjs(config, checkpoint) -> str:
    """YES, or why not: converted with weights that are all the same, and not run."""
    from visionport.errors import OptionError, UnsupportedError
    from visionport.formats import format_of
    from visionport.formats.tfjs.format import TWO_STAGES
    from visionport.models import build
    from visionport.tfjs.convert import translate

    fmt, answer = format_of("tfjs"), YES
    options = SimpleNamespace(tfjs_head="detections", batch=None)
    if config.family in TWO_STAGES:
        return "no: two stages"
    if config.task == "video":
        return "no: it takes clips"
    try:
        fmt.check(config, options)
    except UnsupportedError as e:
        said = str(e).removeprefix(f"{config.path}: ").rstrip(".")
        options.tfjs_head, answer = "decoded", f"decoded boxes alone: {said}"
        try:
            fmt.check(config, options)
        except (OptionError, UnsupportedError):
            return f"no: {said.partition(':')[0]}"
    if build.side_inputs_of(config):
        return "no: it takes more than a picture"
    try:
        head = fmt.graph_head(config, options)
        definition, inputs, outputs = whole(config, checkpoint, 1, head, preprocessed=True)
        translate(definition, inputs, list(outputs.values()))
    except UnsupportedError as e:
        return f"no: {str(e).rstrip('.')}"
    return answer


RUNTIMES = {"onnx": try_onnx, "openvino": try_openvino, "tfjs": try_tfjs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="CONFIG")
    parser.add_argument("--runtime", choices=RUNTIMES, help="try this one alone")
    asked = parser.parse_args()
    tried = {name: attempt for name, attempt in RUNTIMES.items() if asked.runtime in (None, name)}
    for name, read in candidates():
        if asked.names and name not in asked.names:
            continue
        try:
            config, checkpoint = read()
            found = {runtime: attempt(config, checkpoint) for runtime, attempt in tried.items()}
        except Exception as e:  # told, and not kept
            print(name, type(e).__name__, str(e)[:300], flush=True)
            continue
        print(name, found, flush=True)
        kept: dict[str, dict[str, Any]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        kept[name] = kept.get(name, {}) | found
        KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
        gc.collect()


if __name__ == "__main__":
    main()
