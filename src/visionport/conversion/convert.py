"""Any TensorFlow model to TFLite: a SavedModel, a frozen graph or a function, checked and compared with its source.

The story: read the source -> freeze what is between the chosen tensors -> trace with fixed shapes -> convert ->
describe -> check the file -> run it beside the source.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from visionport import staging
from visionport.conversion import metadata, sources, tflite
from visionport.conversion.checks import measure_losses, verify_file
from visionport.conversion.inputs import Feeds
from visionport.conversion.network import Network, freeze_network, trace_network
from visionport.conversion.request import Request
from visionport.inputs.calibration import few as few_examples
from visionport.progress import Progress, size_text
from visionport.tflite.checks import unknown_ops
from visionport.tflite.kinds import CALIBRATED
from visionport.verification.checks import Check

if TYPE_CHECKING:
    from visionport.tflite.layers import Layer


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What was written, and whether it agrees with its source."""

    out: Path
    size: int
    seconds: float  # of the converter
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    checks: tuple[Check, ...]
    layers: "tuple[Layer, ...]" = ()  # of a file with quantised activations, what that costs each; the worst first

    @property
    def agrees(self) -> bool:
        """Whether nothing disagrees; true where nothing could be or was to be compared."""
        return all(c.ok for c in self.checks)

    def __str__(self) -> str:
        from visionport.verification.table import render_text

        ends = f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"
        return "\n".join(
            [f"{self.out}  {size_text(self.size)}: {ends}", *([render_text(self.checks)] if self.checks else [])]
        )


def convert(
    source: Any,
    out: str | Path,
    *,
    tags: Sequence[str] = (),
    signature: str | None = None,
    input_arrays: Sequence[str] = (),
    output_arrays: Sequence[str] = (),
    shapes: Mapping[str, Sequence[int]] | Sequence[int] = (),
    constants: Mapping[str, Any] = MappingProxyType({}),
    quantize: str = "none",
    quantize_exclude: Sequence[str] = (),
    calibration: str | Path | None = None,
    mean: float | Sequence[float] = (),
    std: float | Sequence[float] = (),
    input_type: str | None = None,
    labels: str | Path | None = None,
    select_tf_ops: bool = False,
    custom_ops: bool = False,
    allow_unsafe_ops: bool = False,
    verify: bool = True,
    verify_input: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Writes a TFLite file of any TensorFlow model and runs it beside its source, as `visionport convert` does.

    source: the path of a SavedModel or of a frozen graph; a `tf.function`'s concrete function, or a `tf.function` with
    an input signature; a Keras model. A function's inputs are called as its arguments, its outputs as the keys of the
    dict that it returns, or output_0, output_1 and so on. out: the file.

    tags, signature: of a SavedModel. input_arrays, output_arrays: keys of the signature or names of tensors. shapes:
    {input: sizes}, or the sizes of the only input; -1 keeps one open. constants: {input: the value that it is fixed
    to}; what that decides goes. quantize: none, float16, dynamic, int8, uint8 or
    int16x8. quantize_exclude: TFLite ops, or regular expressions over layers' names, that stay float32. calibration: a
    folder or TFRecord of pictures, or an .npz with an array an input. mean, std: (pixel - mean) / std is what the
    model takes, one number or one a channel. input_type: float, uint8 or int8. labels: a label map, or a name a line.
    select_tf_ops, custom_ops: keep ops that only TensorFlow runs, or that nobody here knows. allow_unsafe_ops: run
    ops that read files or do something else outside of the graph, of a file that you trust. verify_input: an .npz with
    an array for every input, to compare on instead of made-up inputs.

    Returns a Conversion: `agrees` says whether the file gives the source's answers, `checks` by how much it is off.
    Raises VisionportError, and then writes nothing.
    """
    whole: Any = shapes if isinstance(shapes, Mapping) else {"": shapes} if len(shapes) else {}
    request = Request(
        source=Path(source) if isinstance(source, str) else source,
        out=Path(out),
        tags=_names(tags),
        signature=signature,
        input_arrays=_names(input_arrays),
        output_arrays=_names(output_arrays),
        shapes={name: tuple(map(int, sizes)) for name, sizes in whole.items()},
        constants=dict(constants),
        quantize=quantize,
        quantize_exclude=_names(quantize_exclude),
        calibration=None if calibration is None else Path(calibration),
        mean=_numbers(mean),
        std=_numbers(std),
        input_type=input_type,
        labels=None if labels is None else Path(labels),
        select_tf_ops=select_tf_ops,
        custom_ops=custom_ops,
        allow_unsafe_ops=allow_unsafe_ops,
        verify=verify,
        verify_input=None if verify_input is None else Path(verify_input),
        overwrite=overwrite,
    )
    return run(request, progress)


def _names(given: Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _numbers(given: float | Sequence[float]) -> tuple[float, ...]:
    return (float(given),) if isinstance(given, int | float) else tuple(map(float, given))


def run(request: Request, progress: Progress | None = None) -> Conversion:
    """Writes request.out. Raises VisionportError; then nothing is written."""
    progress = progress or Progress()
    request.check()
    with progress.stage("import TensorFlow"):
        import tensorflow as _  # noqa: F401

    with sources.open_model(request) as model:
        with progress.stage("read and freeze"):
            network = freeze_network(model, request)
            feeds = Feeds(network, request)
            function = trace_network(network)
            told = metadata.Told(network, function, request)
        warn_of_surprises(model, network, request, told, progress)
        if feeds.examples and (few := few_examples(len(feeds.examples), request.quantize)):
            progress.warn(few)
        with progress.stage("convert") as remark:
            begun = time.perf_counter()
            data = tflite.make_file(function, network, feeds, request, progress)
            data = told.added(data)
            seconds = time.perf_counter() - begun
            remark(size_text(len(data)))
        checks: list[Check] = []
        layers: list[Any] = []
        if request.verify and unknown_ops(data):
            progress.warn(f"{request.out.name} is not verified: nothing here runs its Select TF or custom ops.")
        elif request.verify:
            with progress.stage("verify"):
                checks = verify_file(data, model, network, feeds, request, progress)
                if request.quantize in CALIBRATED and request.calibration:
                    layers = measure_losses(data, function, network, feeds, request)
    staging.write_file(request.out, [data], overwrite=request.overwrite, inputs=request.files)
    return Conversion(
        out=request.out,
        size=len(data),
        seconds=seconds,
        inputs=tuple(g.key for g in network.inputs),
        outputs=tuple(key for key, _ in network.outputs),
        checks=tuple(checks),
        layers=tuple(layers),
    )


def warn_of_surprises(model, network: Network, request: Request, told, progress: Progress) -> None:
    """What is done otherwise than one may expect."""
    unused = [key for key in model.source.inputs if key not in {g.key for g in network.inputs}]
    if unused:
        progress.warn(f"no output depends on {', '.join(unused)}: {request.out.name} takes no such input.")
    if told.incomplete:
        progress.warn(told.incomplete)
