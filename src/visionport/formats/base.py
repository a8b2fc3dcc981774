"""What a format is: it writes an artifact, opens it as a Runner, and says how far its answers may be off.

A Runner is named tensors in, named tensors out. An Asker stands on it: pictures in, answers out, by the export's input
type, preprocessing and task. Verify, predict and evaluate know Askers and nothing else.
"""

import abc
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from visionport.config import FitAndPad, SideInput
from visionport.errors import ArtifactError, OptionError
from visionport.inputs import preprocessing, side_inputs
from visionport.inputs.types import INPUT_TYPES, MoreInput, example_of
from visionport.progress import size_of
from visionport.tasks.base import Answer, Task
from visionport.verification.bounds import Tolerance
from visionport.verification.checks import Check

EMPTY: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One input or output of a signature. shape: None where a size is open."""

    name: str
    dtype: str  # NumPy's name; "string" for bytes
    shape: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class SignatureInfo:
    """One way to call an artifact."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a process has taken until now. cpu: seconds of all its threads; memory: bytes at most, the bare runtime's
    left out."""

    cpu: float = 0.0
    memory: int = 0


class Runner(Protocol):
    """An artifact in its own runtime. One call at a time, unless `thread_safe`.

    One that runs in a process of its own has `spent`, which `spent_by` below uses.
    """

    signatures: Mapping[str, SignatureInfo]
    thread_safe: bool

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name, for a batch of any size that the artifact takes. feeds: an array an input.

        Real numbers given to an input of quantised integers are quantised by its scale, integers go as they are;
        quantised outputs come back as float32.
        """
        ...

    def close(self) -> None:
        """Gives back memory; the runner is of no use afterwards."""
        ...


def spent_by(runner: Runner | None) -> Spent:
    """What a runner's own process has taken; nothing where it runs in ours."""
    own = getattr(runner, "spent", None)
    return own() if own else Spent()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How pictures go into an artifact and what its outputs mean, as the manifest records it.

    input: the name of its picture input. type: how to feed that: a key of INPUT_TYPES; "preprocessed": what the
    network itself takes; "pixels": resized, not normalised. source: the input type by which the model itself is asked
    about the same pictures. answers: see models/build.py: reading. outputs: their
    names, where the file itself does not tell. probes: inner tensors that it shows besides.
    """

    input: str
    type: str
    source: str = "image_tensor"
    signature: str = "serving_default"
    answers: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    dtypes: Mapping[str, str] = field(
        default_factory=dict
    )  # of outputs that have another one than the model's, by design

    def record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Reading":
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        return cls(**given)

    @property
    def more(self) -> Mapping[str, MoreInput]:
        """The inputs that its type takes besides the pictures."""
        return INPUT_TYPES[self.type].more if self.type in INPUT_TYPES else {}


@dataclass(frozen=True, kw_only=True)
class Network:
    """An artifact's network without what stands around it. what: which part that is, in words."""

    runner: Runner
    reading: Reading
    what: str


@dataclass(frozen=True, kw_only=True)
class Asker:
    """An artifact that is asked about pictures. how: a manifest's preprocessing; sides: the model's side inputs."""

    runner: Runner
    reading: Reading
    task: Task
    how: Mapping[str, Any]
    sides: tuple[SideInput, ...] = ()
    sided: Mapping[str, np.ndarray] | None = None  # their values; zeros by default

    def __call__(self, picture: np.ndarray) -> Answer:
        """The answer to one picture, uint8 (or float32) [h, w, 3]."""
        outputs, extent = self.ask(picture[None])
        return self.read(outputs, extent)

    def ask(self, pictures: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The outputs for pictures of one size [b, h, w, 3], and how much of the network's input they take [2]."""
        feeds, extent = self.feeds(pictures)
        return self.runner.call(self.reading.signature, feeds), extent

    def feeds(self, pictures: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """What a call takes of those pictures, and their extent.

        An artifact for a fixed batch gets its first picture as often as it needs.
        """
        wanted = self.batch
        if wanted is not None and len(pictures) != wanted:
            pictures = np.repeat(pictures[:1], wanted, axis=0)
        value, extent = self.feed(pictures)
        return {self.reading.input: value, **self._besides(len(pictures))}, extent

    def read(self, outputs: Mapping[str, np.ndarray], extent: np.ndarray, row: int = 0) -> Answer:
        return self.task.answer(outputs, self.reading.answers, extent, row)

    @functools.cached_property
    def source(self) -> Tensor:
        """The input that the pictures go to."""
        inputs = self.runner.signatures[self.reading.signature].inputs
        found = next((t for t in inputs if t.name == self.reading.input), None)
        if found is None:
            names = ", ".join(t.name for t in inputs) or "none"
            raise ArtifactError(f"the artifact has no input {self.reading.input!r}, which its record names: {names}.")
        return found

    @property
    def batch(self) -> int | None:
        """How many pictures a call takes; None for any."""
        return self.source.shape[0] if self.source.shape else None

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """(height, width) of the only pictures that it takes; None for any."""
        return picture_size(self.reading.type, self.source.shape)

    def feed(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the input takes of those pictures, and their extent in the network's input."""
        if self.reading.type in INPUT_TYPES:
            if self.how:  # nothing tells of a foreign one
                preprocessing.check_picture(pictures[0], self.how)
            value = INPUT_TYPES[self.reading.type].feed(pictures)
            return value, self._extent(pictures[0])
        how = preprocessing.without_normalization(self.how) if self.reading.type == "pixels" else self.how
        dtype = np.uint8 if self.source.dtype == "uint8" else np.float32  # what is int8 the runner quantises
        made = [preprocessing.prepare(p, how, dtype) for p in pictures]
        return np.concatenate([value for value, _ in made]), made[0][1]

    def _extent(self, picture: np.ndarray) -> np.ndarray:
        if self.reading.answers.get("boxes") != "frame":
            return np.ones(2)
        return preprocessing.prepare(picture, self.how)[1]

    def _besides(self, batch: int) -> dict[str, np.ndarray]:
        values = example_of(self.reading.type, batch) if self.reading.more else {}
        given = self.sided if self.sided is not None else side_inputs.nothing(self.sides)
        return {**values, **given}


def read_signature(signature, model, *, input_name: str, name: str, **more) -> Reading:
    """How an artifact is read that takes what a Signature takes. name: that of the artifact's own signature."""
    kind = INPUT_TYPES[signature.kind]
    return Reading(
        input=input_name,
        type="preprocessed" if kind.preprocessed else signature.kind,
        source="image_tensor" if kind.preprocessed or kind.frames else signature.name,
        signature=name,
        answers=answers_of(kind, model),
        **more,
    )


def answers_of(kind, model) -> dict[str, Any]:
    """What a model's outputs mean for an input type; see tasks/detection/answers.py for what is said of boxes.

    Preprocessed images do not tell where the picture ends, so that boxes are of the frame.
    """
    answers = dict(model.reading) | ({"given": sorted(kind.more)} if kind.more else {})
    if not kind.preprocessed or "boxes" not in answers:
        return answers
    resizer = model.config.model.resizer
    if isinstance(resizer, FitAndPad):
        unit = (1, 1) if answers["boxes"] == "scaled" else (resizer.height, resizer.width)
        answers["frame"] = [padded / one for padded, one in zip(resizer.padded, unit, strict=True)]
    return answers | {"boxes": "frame"}


def feed_lines(reading: Reading, artifact: Mapping[str, Any], sides: Sequence[SideInput]) -> str:
    """The lines of a snippet that make `value`, and the side inputs."""
    name = "tflite" if reading.type == "preprocessed" else reading.type
    inputs = artifact["signatures"][0]["inputs"]
    shape = next(t["shape"] for t in inputs if t["name"].removesuffix(":0") == reading.input)
    size = {"height": shape[1], "width": shape[2]} if len(shape) == 4 else {}
    lines = INPUT_TYPES[name].snippet.format(image="image.jpg", **size)
    return "\n".join([lines, *map(side_inputs.snippet, sides)])


def snippet_parts(artifact, content, task: Task, module: str, pair: str = '"{}": {}') -> dict[str, str]:
    """What a snippet is filled with: path, imports, feed, call and end.

    module: the runtime's, imported beside NumPy. pair: how a call gives a value to an input's name.
    """
    reading = Reading.read(artifact["reading"])
    sides = side_inputs.of(content)
    feed = feed_lines(reading, artifact, sides)
    values = {reading.input: "value"} | {name: name for name in (*(i.name for i in sides), *reading.more)}
    names = [t["name"] for t in artifact["signatures"][0]["outputs"]]
    return {
        "path": artifact["path"],
        "imports": import_lines(feed, f"import numpy as np, {module}"),
        "feed": feed,
        "call": ", ".join(pair.format(*given) for given in values.items()),
        "end": task.print_lines(lambda name: f'answer["{name}"]', names),
    }


def import_lines(feed: str, first: str) -> str:
    """The imports of a snippet whose feed is that."""
    more = [f"from PIL import Image{', ImageSequence' * ('ImageSequence' in feed)}"] if "Image." in feed else []
    return "\n".join([*(["import glob"] if "glob." in feed else []), first, *more])


class Format(abc.ABC):
    """A kind of artifact. Each has one frozen object, FORMAT at the end of its module; what is here is by default."""

    name: str  # what --format takes
    title: str  # for people
    target: str  # the artifact's file or folder in an export directory
    runtime: tuple[str, ...]  # the modules that open imports

    def check(self, config, options) -> None:  # noqa: B027 (most formats hold any model)
        """Raises where the format cannot hold the model, before TensorFlow is imported. options: not yet settled."""

    def settle(self, config, options):
        """The options with what the config decides filled in."""
        return options

    def targets(self, options) -> tuple[str, ...]:
        """What it writes at the top of an export directory."""
        return (self.target,)

    @abc.abstractmethod
    def write(self, model, signatures: Sequence[Any], options, folder: Path, progress) -> Path:
        """Writes the artifact into `folder`."""

    @abc.abstractmethod
    def reading(self, model, signatures: Sequence[Any], options) -> Reading:
        """See Reading."""

    @abc.abstractmethod
    def open(self, path: Path, reading: Reading, threads: int | None = None) -> Runner:
        """The artifact at `path` in its own runtime.

        threads: that the runtime may use; as many as it likes by default. TensorFlow's are the process's, and are
        settled when it first runs.
        """

    def versions(self) -> Mapping[str, str]:
        """Of what runs it besides the modules of `runtime`."""
        return {}

    def size(self, path: Path) -> int:
        """Bytes of the artifact, with all files that it consists of."""
        return size_of(path)

    def recognises(self, path: Path) -> bool:
        """Whether `path` is such an artifact, of any maker, by its bytes or its layout."""
        return False

    def network(self, path: Path, reading: Reading, threads: int | None = None) -> Network | None:
        """The network without its preprocessing and NMS, where the artifact lets it be run alone."""
        return None

    def single_threaded(self, path: Path) -> str:
        """Why the artifact is run with one thread, whatever it is given; "" where it need not be."""
        return ""

    def precision(self, path: Path) -> str:
        """What the network calculates in."""
        return "float32"

    def check_foreign(self, path: Path) -> None:  # noqa: B027 (most formats hold numbers only)
        """Raises for an artifact that may not be one of ours, where opening or running it is not safe."""

    def told(self, path: Path) -> Mapping[str, Any] | None:
        """What the artifact itself tells of how it is asked; None where it tells nothing.

        model, preprocessing, reading and side_inputs as a manifest has them, and labels, the lines of labels.txt.
        """
        return None

    def missing_package(self) -> str:
        """What must be installed to open it, in words; "" where it can be opened here."""
        return ""

    @abc.abstractmethod
    def signatures(self, path: Path, reading: Reading) -> list[SignatureInfo]:
        """What the manifest and the report say of the artifact's ends."""

    @abc.abstractmethod
    def tolerance(self, model, options) -> Tolerance:
        """How far its answers may be off."""

    def loss(self, model, options) -> str:
        """What rounds its answers: a key of verification.bounds.QUANTIZED; "" for nothing."""
        return ""

    def left_out(self, model, options, outputs: Sequence[str]) -> Mapping[str, str]:
        """Which of the model's outputs it does not have by design, and why."""
        return {}

    def differs(self, model, options) -> str:
        """Why its answers differ by design from the model's; "" where they do not."""
        return ""

    def probes(self, model, options) -> Callable | None:
        """(images, true_shapes, prediction) -> more answers of the model that the artifact shows too."""
        return None

    def answers_in_full(self, options) -> bool:
        """Whether it gives the task's answers, and not only what they are made of."""
        return True

    def examine(
        self, model, options, path: Path, content: Mapping[str, Any], pictures
    ) -> tuple[list[Check], list[str]]:
        """What else is measured of the artifact: checks, and notes in words that are another the next time."""
        return [], []

    def warnings(self, config, options) -> list[str]:
        """What the user should know of the artifact before it is shipped."""
        return []

    @abc.abstractmethod
    def snippet(self, artifact: Mapping[str, Any], content: Mapping[str, Any], task: Task) -> str:
        """Python that loads the artifact of that manifest and runs it, in the export directory."""


def picture_size(kind: str, shape: Sequence[int | None]) -> tuple[int, int] | None:
    """(height, width) of the pictures that an input of that type and shape takes; None for any."""
    takes_pictures = kind in INPUT_TYPES and INPUT_TYPES[kind].is_image and not INPUT_TYPES[kind].preprocessed
    height, width = shape[-3:-1] if takes_pictures else (None, None)
    return (height, width) if height and width else None


def limit_tensorflow(threads: int | None) -> None:
    """TensorFlow's threads in this process, within an operation and between them."""
    if threads is None:
        return
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        raise OptionError(
            f"{threads} threads: TensorFlow has run in this process with another number. Take a fresh process."
        ) from None


def proposes(model) -> bool:
    """Whether the model chooses regions first, and then looks at each of them."""
    return model.config.family in ("faster_rcnn", "mask_rcnn")


def rounds(model) -> bool:
    """Whether the network has fake quantisation: of quantisation-aware training, or SpaghettiNet's in floats."""
    return any(name.endswith("/min") for name in model.params.keys)
