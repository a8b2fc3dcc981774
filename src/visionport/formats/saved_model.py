"""SavedModel with real variables under their canonical names, one graph and a signature for each input type."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionport.formats.base import Format, Reading, SignatureInfo, Tensor, rounds
from visionport.graph.slim import name_by_content, slim
from visionport.inputs import side_inputs
from visionport.inputs.types import INPUT_TYPES
from visionport.signatures import PREDICT, sign_heads
from visionport.verification.bounds import FAKE_QUANTIZED, SAME_OPERATIONS

DEFAULT = "serving_default"


class SavedModel(Format):
    """See formats/base.py. Any model can be one."""

    name = "saved_model"
    title = "SavedModel"
    target = "saved_model"

    def write(self, model, signatures, options, folder: Path, progress=None) -> Path:
        """Writes folder/saved_model; the first signature is serving_default, each is there under its own name too."""
        import tensorflow as tf

        root = tf.__internal__.tracking.AutoTrackable()
        for name, variable in model.params.variables.items():
            root._track_trackable(variable, name)
        functions = {DEFAULT: signatures[0].function} | {s.name: s.function for s in signatures}
        if model.heads:
            root.trainable_variables = [v for v in model.params.variables.values() if v.trainable]
            functions[PREDICT] = sign_heads(model)
        target = folder / self.target
        tf.saved_model.save(root, str(target), signatures=functions)
        slim(target / "saved_model.pb")
        name_by_content(target / "fingerprint.pb")
        return target

    def reading(self, model, signatures, options) -> Reading:
        first = signatures[0]
        answers = model.reading | {"given": sorted(INPUT_TYPES[first.name].more)}
        return Reading(input=first.input_name, type=first.name, signature=DEFAULT, answers=answers)

    def open(self, path: Path, reading: Reading) -> "SavedModelRunner":
        return SavedModelRunner(path)

    def signatures(self, path: Path, reading: Reading) -> list[SignatureInfo]:
        return read_signatures(path)

    def tolerance(self, model, options):
        return FAKE_QUANTIZED if rounds(model) else SAME_OPERATIONS

    def snippet(self, artifact, content, task) -> str:
        reading = Reading.read(artifact["reading"])
        sides = side_inputs.of(content)
        more = "".join(f", {n}=tf.constant({n})" for n in (*(i.name for i in sides), *reading.more))
        names = [t["name"] for t in artifact["signatures"][0]["outputs"]]
        return SNIPPET.format(
            path=artifact["path"],
            feed="\n".join(
                [INPUT_TYPES[reading.type].snippet.format(image="image.jpg"), *map(side_inputs.snippet, sides)]
            ),
            call=f"{reading.input}=tf.constant(value){more}",
            end=task.print_lines(lambda name: f'answer["{name}"]', names),
        )


class SavedModelRunner:
    """A SavedModel by its signatures, in TensorFlow."""

    thread_safe = True

    def __init__(self, path: Path):
        import tensorflow as tf

        self._loaded: Any = tf.saved_model.load(str(path))
        self.signatures: Mapping[str, SignatureInfo] = {s.name: s for s in read_signatures(path)}

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        function = self._loaded.signatures[signature]
        return {k: v.numpy() for k, v in function(**{k: tf.constant(v) for k, v in feeds.items()}).items()}

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
            dtype=tf.dtypes.as_dtype(infos[key].dtype).name,
            shape=tuple(d.size if d.size >= 0 else None for d in infos[key].tensor_shape.dim),
        )
        for key in sorted(infos)
    )


SNIPPET = """\
import numpy as np, tensorflow as tf
from PIL import Image

predict = tf.saved_model.load("{path}").signatures["serving_default"]
{feed}
answer = predict({call})
{end}"""

FORMAT = SavedModel()
