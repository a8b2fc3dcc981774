"""Where a model to convert comes from: a file, a function or a Keras model; its ends as chosen; its own answers."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionport.errors import InputError, OptionError, UnsupportedError, nearest
from visionport.graph import edit, effects, sources
from visionport.graph.values import load_saved_model
from visionport.staging import scratch
from visionport.tflite.checks import first_line


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model to convert. name: what people are told. function: what was given, where it is a concrete function.

    constants: tensor -> the value that it is fixed to.
    """

    name: str
    source: sources.Source
    function: Any = None
    constants: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def open_model(request) -> Iterator[Model]:
    """The model of a request, with the inputs and outputs that it asks for."""
    given = request.source
    if isinstance(given, Path):
        source = sources.open_source(
            given, None, request.tags or None, request.signature, trusted=request.allow_unsafe_ops
        )
        if not source.path.is_dir():
            source = dataclasses.replace(source, values=lambda nodes: refuse_variables(given, nodes))
        yield choose_ends(Model(name=str(given), source=source), request)
        return
    if request.tags or request.signature:
        raise OptionError("tags and signature are of SavedModels: a function or a Keras model has none.")
    if is_keras(given):
        with scratch() as folder:
            yield choose_ends(open_keras(given, folder), request)
        return
    yield choose_ends(open_function(make_concrete(given)), request)


def refuse_variables(path: Path, variables: Sequence[Any]) -> Mapping[str, Any]:
    """The values of a graph's variables: it may have no variables."""
    if variables:
        names = ", ".join(n.name for n in variables[:3])
        raise OptionError(
            f"{path} is not frozen: {len(variables)} variables ({names}, ...) have no values in it. Freeze it first: "
            f"visionport freeze {path} --checkpoint PREFIX --out frozen.pb"
        )
    return {}


# --- functions and Keras models ---


def is_keras(given: Any) -> bool:
    kinds = ((c.__module__.partition(".")[0], c.__name__) for c in type(given).__mro__)
    return any(package in ("keras", "tf_keras") and name == "Model" for package, name in kinds)


def open_keras(model, folder: Path) -> Model:
    """Through a SavedModel in `folder`, which Keras itself writes."""
    name = f"the Keras model {model.name!r}"
    try:
        model.export(str(folder / "model"), verbose=False)
    except Exception as e:  # whatever a model's own code raises
        raise UnsupportedError(f"{name} gives no SavedModel: {first_line(e)}. Is it built?") from None
    return Model(name=name, source=sources.open_source(folder / "model", trusted=True))


def make_concrete(given: Any):
    """A concrete function of what was given."""
    import tensorflow as tf

    kinds = tf.types.experimental
    if isinstance(given, kinds.ConcreteFunction):
        return given
    if isinstance(given, kinds.PolymorphicFunction):
        try:
            return given.get_concrete_function()
        except (TypeError, ValueError):
            raise OptionError(
                "it has no input signature: give f.get_concrete_function(tf.TensorSpec([1, 320, 320, 3])), "
                "a spec for each of its arguments."
            ) from None
    raise OptionError(
        "a model is a path, a concrete function, a tf.function with an input signature or a Keras model, not "
        f"{type(given).__name__}."
    )


def open_function(function) -> Model:
    """A concrete function's graph, its variables as constants."""
    import tensorflow as tf
    from tensorflow.python.framework import composite_tensor, convert_to_constants

    name = f"the function {re.sub('^__inference_|_[0-9]+$', '', function.name.decode())!r}"
    ends = tf.nest.flatten((function.structured_input_signature, function.structured_outputs))
    kinds = composite_tensor.CompositeTensor, tf.TypeSpec
    strange = [e for e in ends if isinstance(e, kinds) and not isinstance(e, tf.TensorSpec)]
    if strange:
        raise UnsupportedError(f"{name} takes or gives a {type(strange[0]).__name__}; TFLite has dense tensors only.")
    if not function.outputs:
        raise OptionError(f"{name} gives nothing.")
    graph = function.graph.as_graph_def()
    check_unchanged([*graph.node, *(n for f in graph.library.function for n in f.node_def)])
    try:
        constant = convert_to_constants.convert_variables_to_constants_v2(function, lower_control_flow=False)
    except AssertionError:
        raise InputError(
            f"{name} uses variables that are gone. Keep what holds them, such as the object that it was loaded with."
        ) from None
    except (ValueError, tf.errors.OpError) as e:
        raise UnsupportedError(f"{name} cannot be frozen: {first_line(e)}.") from None
    left = [t.op.name for t in constant.inputs if t.dtype in (tf.resource, tf.variant)]
    if left:
        raise UnsupportedError(
            f"{name} uses what cannot become a constant, such as a lookup table or an iterator ({', '.join(left)}), "
            "which TFLite does not hold. Convert a function of what is behind it."
        )
    source = sources.Source(
        path=Path(name),
        graph=constant.graph.as_graph_def(),
        inputs={t.op.name: t.name for t in constant.inputs},
        outputs=dict(zip(keys(function), (t.name for t in constant.outputs), strict=True)),
        values=lambda nodes: {},
        trusted=True,
    )
    return Model(name=name, source=source, function=function)


def check_unchanged(nodes) -> None:
    """Raises UnsupportedError for nodes that change a variable, which cannot be a constant then."""
    changes = sorted({n.name for n in nodes if re.match("Assign|ResourceScatter|Scatter(Add|Sub|Update)$", n.op)})
    if changes:
        raise UnsupportedError(
            f"{', '.join(changes[:3])} changes a variable, which cannot be a constant then. Name outputs, or convert a "
            "function, without that."
        )


def keys(function) -> list[str]:
    """What a function's outputs are called, in its graph's order."""
    from tensorflow.python.util import nest

    found: Any = nest.flatten_with_joined_string_paths(function.structured_outputs)
    paths = [path for path, value in found if value is not None]
    return [f"output_{i}" if not p or p[0].isdigit() else p for i, p in enumerate(paths)]


# --- its ends ---


def choose_ends(model: Model, request) -> Model:
    """The model with the inputs and outputs that were asked for, as key -> tensor."""
    source = model.source
    # A signature is no list: its keys' order is the alphabet's. A function's arguments have an order.
    order = (lambda ends: dict(ends.items())) if model.function else (lambda ends: dict(sorted(ends.items())))
    inputs = pick_tensors(model, request.input_arrays, source.inputs, "--input-arrays") or order(source.inputs)
    outputs = pick_tensors(model, request.output_arrays, source.outputs, "--output-arrays") or order(source.outputs)
    if not outputs:
        raise OptionError(
            f"{model.name}: no signature says what comes out. Name it with --output-arrays"
            f"{sources.list_sinks(source.graph)}."
        )
    fixed = {edit.full_name(source.inputs.get(k, k)): v for k, v in request.constants.items()}
    inputs = {k: t for k, t in inputs.items() if edit.full_name(t) not in fixed}
    chosen_source = dataclasses.replace(source, inputs=inputs, outputs=outputs)
    return dataclasses.replace(model, source=chosen_source, constants=fixed)


def pick_tensors(model: Model, names: Sequence[str], signature: Mapping[str, str], option: str) -> dict[str, str]:
    """Key -> tensor, of keys of the signature or names of the graph's tensors."""
    nodes = {n.name for n in model.source.graph.node}
    found = {}
    for name in names:
        if name.removesuffix(":0") in found or name in found:
            raise OptionError(f"{option}: {name} is given twice.")
        if name in signature:
            found[name] = signature[name]
        elif edit.base(name) in nodes:
            found[name.removesuffix(":0")] = name if ":" in name else f"{name}:0"
        else:
            near = nearest(name, [*signature, *nodes])
            have = f" The signature has: {', '.join(signature)}." if signature else ""
            raise OptionError(f"{option} {name!r}: no such tensor in {model.name}{near}.{have}")
    return found


# --- its own answers ---


@contextmanager
def open_answers(model: Model, tags: Sequence[str]) -> Iterator[Callable[[Mapping], Mapping]]:
    """A function from {key: input} to {key: output}: the model itself, called or in a session of TensorFlow's."""
    if model.function is not None and is_whole(model):
        yield call_function(model)
        return
    import tensorflow as tf

    v1, source = tf.compat.v1, model.source
    part = edit.part_of(source.graph, map(edit.base, source.outputs.values()))
    if not source.trusted:
        effects.refuse(source.path, effects.find_evaluated(source.graph if source.path.is_dir() else part))
    with v1.Session(graph=tf.Graph()) as session:
        if source.path.is_dir():
            sets = [set(m.meta_info_def.tags) for m in sources.read_saved_model(source.path).meta_graphs]
            wanted = set(tags or ("serve",))
            load_saved_model(session, source.path, wanted if wanted in sets else sets[0])
        else:
            edit.import_graph(part)

        def run(inputs):
            given = {source.inputs.get(k, edit.full_name(k)): v for k, v in inputs.items()} | dict(model.constants)
            try:
                return session.run(dict(source.outputs), given)
            except tf.errors.OpError as e:
                raise explain_failure(model, e.message) from None

        yield run


def is_whole(model: Model) -> bool:
    """Are its inputs and outputs those of the function?"""
    given = {t.name for t in arguments(model.function).values()}
    inputs = {edit.full_name(t) for t in model.source.inputs.values()} | {*model.constants}
    return inputs == given and set(model.source.outputs) <= set(keys(model.function))


def arguments(function) -> dict[str, Any]:
    """Its inputs by name, without what it captures."""
    return {t.op.name: t for t in function.inputs[: len(function.inputs) - len(function.captured_inputs)]}


def call_function(model: Model) -> Callable[[Mapping], Mapping]:
    import tensorflow as tf

    from visionport.tflite.checks import noise

    function = model.function

    def run(inputs):
        values = []
        for name, t in arguments(function).items():  # one that no output depends on is not in the file
            if t.name in model.constants:
                values.append(tf.constant(model.constants[t.name], t.dtype))
                continue
            shape = [d or 1 for d in t.shape] if t.shape.rank else []
            values.append(tf.constant(inputs[name] if name in inputs else noise(shape, t.dtype.as_numpy_dtype)))
        try:
            found = function._call_flat(values, function.captured_inputs)
        except tf.errors.OpError as e:
            raise explain_failure(model, e.message) from None
        flat = [v for v in tf.nest.flatten(found) if v is not None]
        return {k: v.numpy() for k, v in zip(keys(function), flat, strict=True) if k in model.source.outputs}

    return run


def explain_failure(model: Model, message: str) -> InputError:
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("Graph execution")]
    why = next((line for line in lines if not line.startswith(("Detected at", "File "))), "it does not say why")
    return InputError(
        f"{model.name} itself fails on made-up inputs: {why[:200]}. Give others with --verify-input FILE.npz, or add "
        "--no-verify."
    )
