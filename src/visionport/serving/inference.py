"""A request answered: the version that is meant, its inputs checked, the runner called with others or alone, in time.

What is refused is said in TensorFlow Serving's words where clients may look for them (predict_util.cc, classifier.cc,
regressor.cc there).
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionport.errors import ArtifactError
from visionport.formats.base import SignatureInfo, Tensor
from visionport.serving import limits
from visionport.serving.batching import Arrays, Batcher, Batching, rows_of
from visionport.serving.messages import message, name_of, names
from visionport.serving.repository import Repository, Spec, Version
from visionport.serving.statuses import RequestError, invalid

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
BODIES = 16  # of the largest that may be in memory at once
INPUTS = "inputs"  # of a signature that classifies or regresses
CLASSES, SCORES, OUTPUTS = "classes", "scores", "outputs"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What requests may cost. body: bytes; pixels: of a picture; seconds: to an answer; waiting: requests at once."""

    body: int = 64 << 20
    pixels: int = 40_000_000
    seconds: float = 30.0
    waiting: int = 1000


class Inference:
    """See the module. threads: calls of runners at a time. batching: None for each request by itself."""

    def __init__(self, repository: Repository, bounds: Bounds, threads: int, batching: Batching | None = None):
        self.repository, self.bounds, self.batching = repository, bounds, batching
        self.pool = ThreadPoolExecutor(threads, "visionport-call")
        self._at_once = 0
        self.arriving = limits.Room(bounds.body * BODIES)
        self._batchers: dict[tuple[Version, str], Batcher] = {}

    # ------------------------------------------------------------ the three questions

    async def predict(
        self, version: Version, name: str, feeds: Arrays, *, wanted: Sequence[str] = (), seconds: float | None = None
    ) -> Arrays:
        """The outputs of a signature, or the `wanted` ones. seconds: what the caller gives it."""
        signature = find_signature(version, name)
        check_feeds(signature, feeds)
        check_wanted(signature, wanted)
        wrong = wrong_shape(signature, version.servable.definitions[signature.name].inputs, feeds)
        if wrong and version.servable.strict:
            raise wrong
        try:
            outputs = await self.run(version, signature.name, feeds, seconds)
        except RequestError as e:
            raise wrong if wrong and e.code == "INVALID_ARGUMENT" else e from None
        return {k: outputs[k] for k in wanted} if wanted else outputs

    async def classify(self, version: Version, name: str, examples: list[bytes], seconds: float | None = None) -> Any:
        """A ClassificationResult."""
        check_method(version, name, CLASSIFY)
        outputs = await self._ask_examples(version, name, examples, seconds)
        return classifications(outputs, len(examples))

    async def regress(self, version: Version, name: str, examples: list[bytes], seconds: float | None = None) -> Any:
        """A RegressionResult."""
        check_method(version, name, REGRESS)
        outputs = await self._ask_examples(version, name, examples, seconds)
        return regressions(outputs, len(examples))

    async def _ask_examples(self, version: Version, name: str, examples: list[bytes], seconds: float | None) -> Arrays:
        if not examples:
            raise invalid("Input is empty.")
        feeds = np.empty(len(examples), object)
        feeds[:] = examples
        return await self.run(version, name or default_of(version), {INPUTS: feeds}, seconds)

    # ------------------------------------------------------------ calling

    @contextmanager
    def holding(self, spec: Spec) -> Iterator[Version]:
        """The version that is meant, which is not closed meanwhile. Refuses what is too much at once."""
        if self._at_once >= self.bounds.waiting:
            raise RequestError("RESOURCE_EXHAUSTED", f"{self._at_once} requests are being answered: try again later.")
        version = self.repository.find(spec)
        version.hold()
        self._at_once += 1
        try:
            yield version
        finally:
            self._at_once -= 1
            version.release()

    async def run(self, version: Version, name: str, feeds: Arrays, seconds: float | None = None) -> Arrays:
        """The outputs of a signature, before the time is over."""
        limits.check_pictures(feeds, self.bounds.pixels)
        left = self.bounds.seconds if seconds is None else min(seconds, self.bounds.seconds)
        asked = self._ask_together(version, name, feeds) if self.batching else self.call(version, name, feeds)
        return await self.in_time(asked, left)

    async def in_time(self, asked, seconds: float | None = None):
        """What is awaited. Raises RequestError where it takes too long."""
        left = self.bounds.seconds if seconds is None else seconds
        try:
            return await asyncio.wait_for(asked, left)
        except asyncio.TimeoutError:
            raise RequestError("DEADLINE_EXCEEDED", f"No answer within {left:g} s.") from None

    async def _ask_together(self, version: Version, name: str, feeds: Arrays) -> Arrays:
        assert self.batching
        if not rows_of(feeds) or not is_batchable(version.servable.definitions[name]):
            return await self.call(version, name, feeds)
        key = version, name
        if key not in self._batchers:
            for other in [k for k in self._batchers if k[0].loaded is None]:
                del self._batchers[other]
            self._batchers[key] = Batcher(self.batching, lambda arrays: self.call(version, name, arrays))
        return await self._batchers[key].ask(feeds)

    async def call(self, version: Version, name: str, feeds: Arrays) -> Arrays:
        """One call of the runner in its thread."""
        runner = version.servable.runner
        return await self.work(version, lambda: answer(runner, name, feeds))

    async def work(self, version: Version, function):
        """What a function gives that asks a version, in a thread where it may be asked.

        The version is held until the function has ended, though nobody may wait for it any more.
        """
        loop = asyncio.get_running_loop()
        version.hold()
        future = (version.pool or self.pool).submit(function)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(version.release))
        return await asyncio.wrap_future(future)


def answer(runner, name: str, feeds: Arrays) -> Arrays:
    """A runner's outputs; what its runtime says of inputs that it cannot take is the request's fault."""
    try:
        return {k: np.asarray(v) for k, v in runner.call(name, feeds).items()}
    except MemoryError:
        raise RequestError("RESOURCE_EXHAUSTED", "There is not enough memory to answer this request.", 503) from None
    except Exception as e:
        raise refusal(e) from None


# What TensorFlow calls it -> its code. All else that it says of inputs of the right dtype and shape is about them.
CODES = {
    "ResourceExhaustedError": "RESOURCE_EXHAUSTED",
    "InternalError": "INTERNAL",
    "UnimplementedError": "UNIMPLEMENTED",
    "CancelledError": "UNAVAILABLE",
    "AbortedError": "ABORTED",
}
NODES = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]", re.DOTALL)
FRAME = ("Graph execution error", "Detected at node", "<stack traces", "File ")  # around what is said
PATHS = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[\\/](?:[^\s'\":,]+[\\/])[^\s'\":,]*")


def refusal(error: BaseException) -> RequestError:
    """A runtime's error in a sentence, without nodes of a graph and paths of this machine."""
    if isinstance(error, ArtifactError) and error.__context__:  # whose file is nobody else's business
        error = error.__context__
    text = getattr(error, "message", None) or str(error)
    lines = [" ".join(NODES.sub(" ", PATHS.sub("...", line)).split()) for line in str(text).splitlines()]
    said = next((line for line in lines if len(line) > 8 and not line.startswith(FRAME)), type(error).__name__)
    return RequestError(
        CODES.get(type(error).__name__, "INVALID_ARGUMENT"), f"The model cannot answer this: {said[:300]}"
    )


# ---------------------------------------------------------------- signatures


def default_of(version: Version) -> str:
    return version.servable.default


def find_signature(version: Version, name: str) -> SignatureInfo:
    known = version.servable.signatures
    name = name or default_of(version)
    if name not in known:
        there = ", ".join(sorted(known))
        raise invalid(f'Serving signature name: "{name[:200]}" not found in signature def. There: {there}.')
    return known[name]


def check_feeds(signature: SignatureInfo, feeds: Mapping[str, np.ndarray]) -> None:
    """Raises RequestError where inputs are missing, or of another dtype."""
    wanted, given = {t.name for t in signature.inputs}, set(feeds)
    if wanted != given:
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(wanted)} len({{{_listed(given)}}}) != "
            f"len({{{_listed(wanted)}}}). Sent extra: {{{_listed(given - wanted)}}}. Missing but required: "
            f"{{{_listed(wanted - given)}}}."
        )
    for tensor in signature.inputs:
        found = name_of(feeds[tensor.name])
        if found != tensor.dtype:
            raise invalid(f"input {tensor.name} expects {tensor.dtype}, and {found} was sent.")


def _listed(names: set[str]) -> str:
    return ",".join(sorted(n[:100] for n in list(names)[:50]))


def wrong_shape(
    signature: SignatureInfo, infos: Mapping[str, Any], feeds: Mapping[str, np.ndarray]
) -> RequestError | None:
    """What there is to say of an input of another shape than the signature's."""
    for tensor in signature.inputs:
        shape = feeds[tensor.name].shape
        if not fits(shape, tensor) and not infos[tensor.name].tensor_shape.unknown_rank:
            wanted = ", ".join("?" if size is None else str(size) for size in tensor.shape)
            return invalid(f"input {tensor.name} expects the shape [{wanted}], and {list(shape)} was sent.")
    return None


def fits(shape: tuple[int, ...], tensor: Tensor) -> bool:
    if len(shape) != len(tensor.shape):
        return False
    return all(wanted in (None, size) for size, wanted in zip(shape, tensor.shape, strict=True))


def check_wanted(signature: SignatureInfo, wanted: Sequence[str]) -> None:
    known = [t.name for t in signature.outputs]
    for name in wanted:
        if name not in known:
            raise invalid(
                f"output tensor alias not found in signature: {name[:200]} Outputs expected to be in the set "
                f"{{{','.join(sorted(known))}}}."
            )
        if list(wanted).count(name) > 1:
            raise invalid(f"duplicate output tensor alias: {name}")


def is_batchable(definition) -> bool:
    """Whether every input and output has a row for each of any number of examples."""
    infos = [*definition.inputs.values(), *definition.outputs.values()]
    return all(i.tensor_shape.dim and i.tensor_shape.dim[0].size == -1 for i in infos)


def check_method(version: Version, name: str, method: str) -> None:
    """Raises RequestError unless the signature classifies, or regresses."""
    name = name or default_of(version)
    definition = version.servable.definitions.get(name)
    if definition is None or name not in version.servable.signatures:
        raise invalid(f"No signature was found with the name: {name[:200]}")
    what = "classification" if method == CLASSIFY else "regression"
    if definition.method_name != method:
        raise invalid(f"Expected {what} signature method_name to be {method}. Was: {definition.method_name}")
    if len(definition.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if INPUTS not in definition.inputs:
        raise invalid(f"No {what} inputs found in SignatureDef: {', '.join(definition.inputs)}")
    if names().get(definition.inputs[INPUTS].dtype) != "string":
        raise invalid(f"The {what} input of {name} is no string, so it takes no tf.Examples.")
    known = {CLASSES, SCORES} if method == CLASSIFY else {OUTPUTS}
    if not known & set(definition.outputs):
        raise invalid(
            f"Expected {what} signature outputs to contain at least one of {', '.join(sorted(known))}. There: "
            f"{', '.join(definition.outputs)}"
        )


# ---------------------------------------------------------------- results


def classifications(outputs: Arrays, count: int) -> Any:
    """A ClassificationResult of `count` examples."""
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    for what, array, kind in ((CLASSES, classes, "string"), (SCORES, scores, "float32")):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}")
        if name_of(array) != kind:
            raise invalid(f"Expected {what} Tensor of {kind}. Got: {name_of(array)}")
        if len(array) != count:
            raise invalid(f"Expected {what} output batch size of {count}. Got: {len(array)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    result = message("ClassificationResult")()
    columns = max(a.shape[1] for a in (classes, scores) if a is not None)
    for row in range(count):
        found = result.classifications.add()
        for column in range(columns):
            one = found.classes.add()
            if classes is not None:
                value = classes[row, column]
                one.label = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            if scores is not None:
                one.score = scores[row, column]
    return result


def regressions(outputs: Arrays, count: int) -> Any:
    """A RegressionResult of `count` examples."""
    values = outputs[OUTPUTS]
    if not 1 <= values.ndim <= 2 or (values.ndim == 2 and values.shape[1] != 1):
        raise invalid(f"Expected Tensor shape either [batch_size] or [batch_size, 1] but got {list(values.shape)}")
    if len(values) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(values)}")
    if name_of(values) != "float32":
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {name_of(values)}")
    result = message("RegressionResult")()
    for value in values.reshape(-1):
        result.regressions.add(value=value)
    return result
