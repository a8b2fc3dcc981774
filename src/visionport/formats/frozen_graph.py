"""TF1-style frozen graph: constants only, everything inlined, the old node names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import ArtifactError
from visionport.formats.base import (
    Format,
    Network,
    Reading,
    SignatureInfo,
    Tensor,
    feed_lines,
    import_lines,
    read_signature,
    rounds,
)
from visionport.graph import edit, effects, growth, sources
from visionport.graph.function import freeze_function
from visionport.graph.sources import list_unread
from visionport.inputs import side_inputs
from visionport.verification.bounds import FAKE_QUANTIZED, SAME_OPERATIONS

LARGE = 1 << 28  # bytes of a graph whose copies count
SIGNATURE = "graph"  # a graph has none; what it is called here


class FrozenGraph(Format):
    """See formats/base.py. Any model can be one, and it has every output that the SavedModel has."""

    name = "frozen_graph"
    title = "Frozen graph"
    target = "frozen_inference_graph.pb"
    runtime = ("tensorflow",)

    def write(self, model, signatures, options, folder: Path, progress=None) -> Path:
        """Writes folder/frozen_inference_graph.pb, of the first signature; its input is named as the input type."""
        signature = signatures[0]
        inputs = {signature.input_name: signature.name} | {name: name for name in signature.more}
        graph = freeze_function(signature.function, inputs)
        target = folder / self.target
        target.write_bytes(graph.SerializeToString(deterministic=True))
        return target

    def reading(self, model, signatures, options) -> Reading:
        first = signatures[0]
        outputs = tuple(sorted(first.function.structured_outputs))
        return read_signature(first, model, input_name=first.name, name=SIGNATURE, outputs=outputs)

    def check_foreign(self, path: Path) -> None:
        meta = sources.read_meta_graph(path)
        effects.refuse(path, effects.find_all(meta.graph_def))
        growth.check_growth(path, meta.graph_def)

    def open(self, path: Path, reading: Reading, threads: int | None = None) -> "FrozenGraphRunner":
        return FrozenGraphRunner(path, reading.outputs, threads)

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.suffix == ".pb" and path.name != "saved_model.pb"

    def network(self, path: Path, reading: Reading, threads: int | None = None) -> Network | None:
        names = outputs_before_nms(read_graph_def(path), reading.outputs)
        if not names:
            return None
        runner = FrozenGraphRunner(path, tuple(names), threads)
        return Network(runner=runner, reading=reading, what=f"with preprocessing, up to {', '.join(names)}")

    def signatures(self, path: Path, reading: Reading) -> list[SignatureInfo]:
        definition = read_graph_def(path)
        sources = inputs_of(definition)
        hollow(definition)
        found = describe(definition, import_whole(definition), sources, reading.outputs)

        def sided(tensors):
            return tuple(Tensor(name=f"{t.name}:0", dtype=t.dtype, shape=t.shape) for t in tensors)

        return [SignatureInfo(name=SIGNATURE, inputs=sided(found.inputs), outputs=sided(found.outputs))]

    def tolerance(self, model, options):
        # Constants let TensorFlow fuse batch norms, which rounds otherwise, within the same bound.
        return FAKE_QUANTIZED if rounds(model) else SAME_OPERATIONS

    def snippet(self, artifact, content, task) -> str:
        reading = Reading.read(artifact["reading"])
        sides = side_inputs.of(content)
        feed = feed_lines(reading, artifact, sides)
        more = "".join(f', "{n}:0": {n}' for n in (*(i.name for i in sides), *reading.more))
        return SNIPPET.format(
            path=artifact["path"],
            imports=import_lines(feed, "import numpy as np, tensorflow as tf"),
            feed=feed,
            names=[f"{name}:0" for name in reading.outputs],
            call=f'{{"{reading.input}:0": value{more}}}',
            end=task.print_lines(lambda name: f'answer["{name}:0"]', reading.outputs),
        )


class FrozenGraphRunner:
    """A graph imported as old code does it, in a session.

    outputs: its output nodes; those that nothing reads, where none are given.
    """

    thread_safe = True

    def __init__(self, path: Path, outputs: tuple[str, ...] = (), threads: int | None = None):
        definition = read_graph_def(path)
        self._graph: Any = import_whole(definition)
        self._path = path
        self._size, self._session, self._threads = path.stat().st_size, None, threads or 0
        found = describe(definition, self._graph, inputs_of(definition), outputs)
        self.signatures: Mapping[str, SignatureInfo] = {SIGNATURE: found}

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        if self._session is None:
            config = frugal(self._size)
            config.intra_op_parallelism_threads = config.inter_op_parallelism_threads = self._threads
            self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        wanted = {t.name: f"{t.name}:0" for t in self.signatures[signature].outputs}
        try:
            return self._session.run(wanted, {f"{name}:0": value for name, value in feeds.items()})
        except tf.errors.OpError as e:
            raise ArtifactError(f"{self._path} fails when it is run: {edit.first_line(e)}.") from None

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._graph = None


def import_whole(definition):
    """TensorFlow's graph of a GraphDef, under its own names."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        edit.import_graph(definition)
    return graph


def inputs_of(definition) -> list[str]:
    return [n.name for n in definition.node if n.op == "Placeholder"]


def describe(definition, graph, sources: Sequence[str], outputs: Sequence[str]) -> SignatureInfo:
    """What goes in and comes out of an imported graph. outputs: see FrozenGraphRunner."""

    def tensor(name: str) -> Tensor:
        found = graph.get_tensor_by_name(f"{name}:0")
        shape = () if found.shape.rank is None else tuple(found.shape)
        return Tensor(name=name, dtype=found.dtype.name, shape=shape)

    names = {n.name for n in definition.node}
    ends = [n for n in outputs if n in names] or list_unread(definition)
    inputs, outs = (tuple(map(tensor, side)) for side in (sources, ends))
    return SignatureInfo(name=SIGNATURE, inputs=inputs, outputs=outs)


def hollow(definition) -> None:
    """Takes the values out of large constants: they are weights, which matter to no shape, and whose copies count."""
    for node in definition.node:
        if node.op == "Const" and node.attr["value"].ByteSize() > growth.SPELT:
            value = node.attr["value"].tensor
            dtype, shape = value.dtype, value.tensor_shape
            node.op = "Placeholder"
            node.attr["dtype"].type = dtype
            node.attr["shape"].shape.CopyFrom(shape)
            del node.attr["value"]


def outputs_before_nms(graph, outputs: Sequence[str]) -> list[str]:
    """Those that need no suppression, of a graph in which others do; none of one without it."""
    sources = {n.name: [edit.base(i) for i in n.input] for n in graph.node}
    late = {n.name for n in graph.node if "NonMaxSuppression" in n.op}

    def is_late(name: str) -> bool:
        queue, seen = [name], {name}
        for node in queue:  # grows while it is walked
            new = {*sources[node]} - seen
            seen |= new
            queue += new
        return not late.isdisjoint(seen)

    found = [name for name in outputs if not is_late(name)]
    return found if len(found) < len(outputs) else []


def frugal(size: int):
    """Of a session: no copies of the graph to extend it by, nor those of the optimizer where the graph is large."""
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto()
    config.experimental.optimize_for_static_graph = True
    if size > LARGE:
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        config.graph_options.optimizer_options.opt_level = tf.compat.v1.OptimizerOptions.L0
    return config


def read_graph_def(path: Path):
    from tensorflow.core.framework import graph_pb2

    return graph_pb2.GraphDef.FromString(path.read_bytes())


SNIPPET = """\
{imports}

graph = tf.compat.v1.GraphDef.FromString(open("{path}", "rb").read())
{feed}
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.import_graph_def(graph, name="")
    outputs = {names}
    answer = dict(zip(outputs, session.run(outputs, {call})))
{end}"""

FORMAT = FrozenGraph()
