"""SavedModel with real variables, constants for small untrained weights, and a signature for each input type."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
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
    limit_tensorflow,
    read_signature,
    rounds,
    snippet_parts,
)
from visionport.graph import effects, growth, sources
from visionport.graph.edit import first_line
from visionport.graph.saved_model import write
from visionport.signatures import PREDICT, sign_heads
from visionport.verification.bounds import FAKE_QUANTIZED, SAME_OPERATIONS

DEFAULT = "serving_default"
TPU = "tpu_candidate"  # reference: official/vision/serving/export_saved_model_lib.py


# What a SavedModel consists of.
PARTS = ("saved_model.pb", "fingerprint.pb", "variables", "assets")


class SavedModel(Format):
    """See formats/base.py. Any model can be one."""

    name = "saved_model"
    title = "SavedModel"
    target = "saved_model"
    runtime = ("tensorflow",)

    def write(self, model, signatures, options, folder: Path, progress=None) -> Path:
        """Writes folder/saved_model; see `named` for its signatures."""
        functions = {name: s.function for name, s in named(signatures).items()}
        if model.heads:
            functions[PREDICT] = sign_heads(model)
        target = folder / place(options)
        alias = TPU if options is not None and options.tpu_alias else ""
        write(target, functions, model.params.variables, alias=alias)
        return target

    def reading(self, model, signatures, options) -> Reading:
        first = signatures[0]
        name = next(iter(named(signatures)))
        return read_signature(first, model, input_name=first.input_name, name=name)

    def targets(self, options) -> tuple[str, ...]:
        return (place(options).partition("/")[0],) if place(options) != "." else PARTS

    def check_foreign(self, path: Path) -> None:
        (meta, *_) = sources.read_saved_model(path).meta_graphs
        effects.refuse(path, effects.find_evaluated(meta.graph_def))
        effects.check_saved_model(path, meta, signatures=list(meta.signature_def), loaded=True)
        growth.check_growth(path, meta.graph_def, functions=True)

    def open(self, path: Path, reading: Reading, threads: int | None = None) -> "SavedModelRunner":
        limit_tensorflow(threads)
        return SavedModelRunner(path)

    def recognises(self, path: Path) -> bool:
        return (path / PARTS[0]).is_file()

    def network(self, path: Path, reading: Reading, threads: int | None = None) -> Network | None:
        runner = self.open(path, reading, threads)
        if PREDICT not in runner.signatures:
            return None
        alone = replace(reading, input="images", type="preprocessed", signature=PREDICT)
        return Network(runner=runner, reading=alone, what=f"signature {PREDICT}: no preprocessing, no NMS")

    def signatures(self, path: Path, reading: Reading) -> list[SignatureInfo]:
        return sorted(read_signatures(path), key=lambda s: s.name != reading.signature)

    def tolerance(self, model, options):
        return FAKE_QUANTIZED if rounds(model) else SAME_OPERATIONS

    def snippet(self, artifact, content, task) -> str:
        parts = snippet_parts(artifact, content, task, "tensorflow as tf", "{}=tf.constant({})")
        return SNIPPET.format(signature=artifact["reading"]["signature"], **parts)


@contextmanager
def collector_paused() -> Iterator[None]:
    """While a graph is built, which makes many objects and drops few: the collector would walk TensorFlow's own too."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def named(signatures) -> dict[str, Any]:
    """Name -> signature: as called; where none has a name, the first as serving_default and each by its type."""
    if any(s.called for s in signatures):
        return {s.called or s.name: s for s in signatures}
    return {DEFAULT: signatures[0]} | {s.name: s for s in signatures}


def place(options) -> str:
    """The SavedModel's folder in an export."""
    return FORMAT.target if options is None else options.saved_model_dir or "."


class SavedModelRunner:
    """A SavedModel by its signatures, in TensorFlow."""

    thread_safe = True

    def __init__(self, path: Path):
        import tensorflow as tf

        from visionport.checkpoint.open import open_variables

        open_variables(path)
        try:
            with collector_paused():
                self._loaded: Any = tf.saved_model.load(str(path))
        except Exception as e:  # whatever TensorFlow makes of a file that may be a stranger's
            raise ArtifactError(f"{path}: TensorFlow does not load it: {first_line(e)}.") from None
        self._path = path
        self.signatures: Mapping[str, SignatureInfo] = {s.name: s for s in read_signatures(path)}

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        function = self._loaded.signatures[signature]
        try:
            return {k: v.numpy() for k, v in function(**{k: tf.constant(v) for k, v in feeds.items()}).items()}
        except tf.errors.OpError as e:
            raise ArtifactError(f"{self._path} fails when it is run: {first_line(e)}.") from None

    def close(self) -> None:
        self._loaded = None


def read_signatures(path: Path) -> list[SignatureInfo]:
    """Those of a SavedModel, the default one first; read from its protobuf alone."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    found = saved.meta_graphs[0].signature_def
    names = sorted((n for n in found if not n.startswith("__")), key=lambda n: (n != DEFAULT, n))
    return [SignatureInfo(name=n, inputs=_tensors(found[n].inputs), outputs=_tensors(found[n].outputs)) for n in names]


def _tensors(infos) -> tuple[Tensor, ...]:
    import tensorflow as tf

    return tuple(
        Tensor(
            name=key,
            dtype=tf.dtypes.as_dtype(infos[key].dtype).name if infos[key].dtype else "",
            shape=tuple(d.size if d.size >= 0 else None for d in infos[key].tensor_shape.dim),
        )
        for key in sorted(infos)
    )


SNIPPET = """\
{imports}

predict = tf.saved_model.load("{path}").signatures["{signature}"]
{feed}
answer = predict({call})
{end}"""

FORMAT = SavedModel()
