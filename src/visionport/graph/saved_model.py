"""A SavedModel written from functions and variables as they are: nothing is traced that is dropped again.

`tf.saved_model.save` makes a function to save and one to restore each variable, and one around each signature, whose
only use is to be written; that takes longer than all else of an export. What loaders read is here: the functions, a
main graph that calls them, a saver of one node each way, and the graph of objects. The same model gives the same bytes.

Reference: tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph}.proto; tensorflow/python/saved_model.
"""

import inspect
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from visionport.checkpoint.read import OBJECT_GRAPH, VALUE, escaped
from visionport.checkpoint.write import save
from visionport.graph import function_calls

SERVE = "serve"
FILE = "saved_model.pb"
FINGERPRINT = "fingerprint.pb"


def write(
    folder: Path,
    functions: Mapping[str, Any],
    variables: Mapping[str, Any],
    *,
    inputs: Sequence[str] = (),
    alias: str = "",
) -> None:
    """Writes a SavedModel with tag `serve` into `folder`, which is made.

    functions: signature -> a concrete function that gives a dict of tensors; several may be the same one. variables:
    name -> tf.Variable, each an attribute of the loaded object, as are the lists `variables` and `trainable_variables`.
    inputs: what the functions' arguments are called, where that is not how their specs are named. alias: what the
    functions of the signatures are called besides, in the meta graph's `function_aliases`.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import meta_graph

    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    distinct = {id(function): function for function in functions.values()}
    graph = MainGraph(meta, variables, inputs)
    calls = {key: graph.call(function) for key, function in distinct.items()}
    for name, function in functions.items():
        graph.sign(name, function, *calls[id(function)])
    graph.add_saver()
    graph.add_library(list(distinct.values()))
    add_objects(meta.object_graph_def, functions, graph)
    info = meta.meta_info_def
    info.tags.append(SERVE)
    info.tensorflow_version, info.tensorflow_git_version = tf.version.VERSION, tf.version.GIT_VERSION
    info.stripped_default_attrs = True
    info.stripped_op_list.MergeFrom(meta_graph.stripped_op_list_for_graph(meta.graph_def))
    if alias:
        for function in distinct.values():
            info.function_aliases[name_of(function)] = alias

    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / FILE).write_bytes(saved.SerializeToString(deterministic=True))
    write_variables(folder / "variables" / "variables", variables, meta.object_graph_def)
    write_fingerprint(folder)


def write_variables(prefix: Path, variables: Mapping[str, Any], objects) -> None:
    """The checkpoint in a SavedModel: values by the variables' names, and which object each belongs to."""
    tensors: dict[str, Any] = {key_of(name): variable for name, variable in variables.items()}
    tensors[OBJECT_GRAPH] = checkpointed(objects, list(variables)).SerializeToString(deterministic=True)
    save(prefix, tensors)


def key_of(name: str) -> str:
    return escaped(name) + VALUE


def checkpointed(objects, names: Sequence[str]):
    """The TrackableObjectGraph of a SavedObjectGraph whose nodes behind the root are the variables of those names."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    graph = TrackableObjectGraph()
    for number, node in enumerate(objects.nodes):
        copy = graph.nodes.add()
        copy.children.extend(node.children)
        if node.WhichOneof("kind") == "variable":
            name = names[number - 1]
            copy.attributes.add(name="VARIABLE_VALUE", full_name=name, checkpoint_key=key_of(name))
            copy.has_checkpoint_values.value = True
    return graph


class MainGraph:
    """The graph of a MetaGraphDef in the making."""

    def __init__(self, meta, variables: Mapping[str, Any], inputs: Sequence[str] = ()):
        import tensorflow as tf

        self.meta, self.graph, self.variables, self.inputs = meta, meta.graph_def, variables, inputs
        self.graph.versions.producer, self.graph.versions.min_consumer = tf.version.GRAPH_DEF_VERSION, 12
        self.taken: set[str] = set()
        self.captured: dict[int, tuple[int, str]] = {}  # id of what a function captures -> (its object, its node)
        for number, (name, variable) in enumerate(variables.items(), 1):
            self.captured[id(variable.handle)] = number, name
            node = self.add("VarHandleOp", name, dtype=variable.dtype)
            node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
            node.attr["shared_name"].s = name.encode()
        self.constants: list[str] = []

    def add(self, op: str, name: str, inputs: Iterable[str] = (), dtype=None):
        """A node of that name, or of one like it where a variable has that."""
        node = self.graph.node.add(op=op, name=function_calls.free(name, "_", self.taken), input=inputs)
        if dtype is not None:
            node.attr["dtype"].type = dtype.base_dtype.as_datatype_enum
        return node

    def captures(self, function) -> list[tuple[int, str]]:
        """The objects and nodes of what it captures, in order: variables, or tensors, which become constants."""
        import tensorflow as tf

        found = []
        for tensor in function.captured_inputs:
            if id(tensor) not in self.captured:
                number, name = 1 + len(self.variables) + len(self.constants), f"Const_{len(self.constants)}"
                node = self.add("Const", name, dtype=tensor.dtype)
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(tensor.numpy()))
                self.captured[id(tensor)] = number, node.name
                self.constants.append(node.name)
            found.append(self.captured[id(tensor)])
        return found

    def arguments(self, function) -> dict[str, Any]:
        """What a function takes besides its captures, by name and in the order of names, as loaders give it."""
        tensors = function.inputs[: len(function.inputs) - len(function.captured_inputs)]
        return dict(sorted(zip(self.inputs or [t.op.name for t in tensors], tensors, strict=True)))

    def call(self, function) -> tuple[str, list[str]]:
        """A call of a concrete function: its node, and the placeholders that it is given."""
        number = sum(n.op == "StatefulPartitionedCall" for n in self.graph.node)
        name = f"StatefulPartitionedCall_{number}" if number else "StatefulPartitionedCall"
        given = []
        for key, tensor in self.arguments(function).items():
            place = f"signature_{number}_{key}" if number else f"serving_default_{key}"
            node = self.add("Placeholder", place, dtype=tensor.dtype)
            node.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
            given.append(node.name)
        node = self.add("StatefulPartitionedCall", name, [*given, *(name for _, name in self.captures(function))])
        node.attr["f"].func.name = name_of(function)
        inputs = [*self.arguments(function).values(), *function.inputs[len(given) :]]
        for key, tensors in (("Tin", inputs), ("Tout", function.outputs)):
            node.attr[key].list.type.extend(t.dtype.as_datatype_enum for t in tensors)
        resources = [i for i, t in enumerate(function.inputs) if t.dtype.name == "resource"]
        node.attr["_read_only_resource_inputs"].list.i.extend(resources)
        return node.name, given

    def sign(self, name: str, function, call: str, given: Sequence[str]) -> None:
        """A signature by that name, of the call of its function."""
        signature = self.meta.signature_def[name]
        signature.method_name = "tensorflow/serving/predict"
        for (key, tensor), place in zip(self.arguments(function).items(), given, strict=True):
            describe(signature.inputs[key], f"{place}:0", tensor)
        for i, (key, tensor) in enumerate(outputs_of(function).items()):
            describe(signature.outputs[key], f"{call}:{i}", tensor)

    def add_saver(self) -> None:
        """What a TF1-style loader runs to restore the variables, and what saves them again."""
        import tensorflow as tf

        dtypes = [v.dtype.base_dtype.as_datatype_enum for v in self.variables.values()]
        keys = [key_of(name) for name in self.variables]
        init = self.add("NoOp", "init").name
        self.meta.collection_def["saved_model_main_op"].node_list.value.append(init)
        output = self.meta.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"]
        output.name, output.tensor_shape.unknown_rank = init, True
        file = self.add("Placeholder", "saver_filename", dtype=tf.string)
        file.attr["shape"].shape.SetInParent()
        inputs = [file.name]
        for name, texts in (("save/names", keys), ("save/slices", [""] * len(keys))):
            node = self.add("Const", name, dtype=tf.string)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(texts, tf.string, [len(keys)]))
            inputs.append(node.name)
        reads = [self.add("ReadVariableOp", f"read/{i}", [n], v.dtype).name for i, (n, v) in self.numbered()]
        saved, restored = [], []
        if keys:
            save = self.add("SaveV2", "save", [*inputs, *reads])
            values = self.add("RestoreV2", "restore", inputs)
            for node in (save, values):
                node.attr["dtypes"].list.type.extend(dtypes)
            saved = [save.name]
            for i, (name, variable) in self.numbered():
                assign = self.add("AssignVariableOp", f"assign/{i}", [name, f"{values.name}:{i}"], variable.dtype)
                restored.append(assign.name)
        saver = self.meta.saver_def
        saver.filename_tensor_name, saver.version = f"{file.name}:0", saver.V2
        saver.save_tensor_name = f"{self.filename_after('saved', file.name, saved)}:0"
        saver.restore_op_name = self.filename_after("restored", file.name, restored)

    def filename_after(self, name: str, file: str, before: Sequence[str]) -> str:
        """A node that gives the file's name once others have run."""
        from tensorflow.core.framework import types_pb2

        node = self.add("Identity", name, [file, *(f"^{n}" for n in before)])
        node.attr["T"].type = types_pb2.DT_STRING
        return node.name

    def numbered(self):
        return enumerate(self.variables.items())

    def add_library(self, functions: Collection[Any]) -> None:
        """The functions and all that they call, without what any loader infers again."""
        from tensorflow.python.eager import context

        library = self.graph.library
        found = {name_of(f): f.function_def for f in functions}
        queue = list(found)
        for name in queue:  # grows while it is walked
            for called in sorted({*function_calls.called_by(found[name])}):
                if called not in found:
                    found[called] = context.get_function_def(called)  # a copy
                    queue.append(called)
        function_calls.inline_once(found, {name_of(f) for f in functions})
        for function in functions:
            given = list(self.arguments(function).values())
            arrange(found[name_of(function)], [index_of(t, function.inputs) for t in given])
            shorten(found[name_of(function)], len(given))
        for definition in found.values():
            strip(definition)
            share_constants(definition)
            library.function.append(definition)
        for node in self.graph.node:
            strip_node(node)


def describe(info, name: str, tensor) -> None:
    """A TensorInfo."""
    info.name, info.dtype = name, tensor.dtype.as_datatype_enum
    info.tensor_shape.CopyFrom(tensor.shape.as_proto())


def name_of(function) -> str:
    return function.name.decode()


def outputs_of(function) -> dict[str, Any]:
    """A concrete function's outputs by key, in the order in which a dict is flattened."""
    return dict(zip(sorted(function.structured_outputs), function.outputs, strict=True))


def index_of(tensor, tensors: Sequence[Any]) -> int:
    return next(i for i, one in enumerate(tensors) if one is tensor)


def arrange(function, order: Sequence[int]) -> None:
    """Puts the first arguments of a FunctionDef in that order; what else goes by their number follows."""
    if list(order) == sorted(order):
        return
    arguments = function.signature.input_arg
    first = [type(arguments[i]).FromString(arguments[i].SerializeToString()) for i in order]
    for place, argument in enumerate(first):
        arguments[place].CopyFrom(argument)
    attributes = {i: function.arg_attr[i].SerializeToString() for i in order if i in function.arg_attr}
    for place, i in enumerate(order):
        function.arg_attr.pop(place, None)
        if i in attributes:
            function.arg_attr[place].MergeFromString(attributes[i])
    shapes = function.attr["_input_shapes"].list.shape
    if len(shapes) >= len(order):
        for place, shape in enumerate([shapes[i].SerializeToString() for i in order]):
            shapes[place].Clear()
            shapes[place].MergeFromString(shape)


def shorten(function, given: int) -> None:
    """Calls what a FunctionDef captures, behind its `given` inputs, c0, c1 ...: it is as many as the variables."""
    taken = {n.name for n in function.node_def}
    names = {}
    for i, argument in enumerate(function.signature.input_arg[given:]):
        names[argument.name] = argument.name = function_calls.free(f"c{i}", "c", taken)
        function.arg_attr.pop(given + i, None)
    for node in function.node_def:
        node.input[:] = [names.get(i, i) for i in node.input]
    for key, end in [*function.ret.items()]:
        function.ret[key] = names.get(end, end)


ASSIGN = {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}
# What loading infers again, or nobody reads.
NOISE = ("_output_shapes", "debug_name")


def strip(function) -> None:
    """Takes away what is noise; and where nothing is assigned, that outputs wait for all reads of variables."""
    ops = {n.name: n.op for n in function.node_def}
    idle = {f"^{name}" for name, op in ops.items() if op == "ReadVariableOp"} if not ASSIGN & {*ops.values()} else ()
    for node in function.node_def:
        if any(i in idle for i in node.input):
            node.input[:] = [i for i in node.input if i not in idle]
        node.ClearField("experimental_debug_info")
        strip_node(node)


def share_constants(function) -> None:
    """Leaves one of small constants that are alike: the others are a quarter of the nodes, and each takes loading."""
    awaited = {i[1:] for node in function.node_def for i in node.input if i.startswith("^")}
    first: dict[Any, str] = {}
    same: dict[str, str] = {}
    for node in function.node_def:
        if node.op == "Const" and not node.input and node.name not in awaited and node.ByteSize() < SMALL:
            attributes = sorted((key, value.SerializeToString()) for key, value in node.attr.items())
            one = first.setdefault((node.device, *attributes), node.name)
            if one != node.name:
                same[f"{node.name}:output:0"] = f"{one}:output:0"
    kept = [n for n in function.node_def if f"{n.name}:output:0" not in same]
    for node in kept:
        node.input[:] = [same.get(i, i) for i in node.input]
    del function.node_def[:]
    function.node_def.extend(kept)
    for key, end in [*function.ret.items()]:
        function.ret[key] = same.get(end, end)


SMALL = 1024  # bytes of a node


def strip_node(node) -> None:
    """Takes attributes away that are noise, or what the op has by default."""
    for name in NOISE:
        node.attr.pop(name, None)
    for name, value in defaults(node.op).items():
        if name in node.attr and node.attr[name] == value:
            del node.attr[name]


def defaults(op: str) -> dict[str, Any]:
    """An op's attributes by default."""
    from tensorflow.python.framework import op_def_registry

    if op not in _DEFAULTS:
        definition = op_def_registry.get(op)
        attributes = definition.attr if definition else ()
        _DEFAULTS[op] = {a.name: a.default_value for a in attributes if a.HasField("default_value")}
    return _DEFAULTS[op]


_DEFAULTS: dict[str, dict[str, Any]] = {}


# The graph of objects


def add_objects(objects, functions: Mapping[str, Any], graph: MainGraph) -> None:
    """Fills a SavedObjectGraph: the root, variables, captured constants, lists of variables, signatures, functions."""
    root = objects.nodes.add()
    generic(root, "_generic_user_object")
    numbers = {}
    for name, variable in graph.variables.items():
        numbers[name] = len(objects.nodes)
        node = objects.nodes.add().variable
        node.name, node.dtype, node.trainable = name, variable.dtype.base_dtype.as_datatype_enum, variable.trainable
        node.shape.CopyFrom(variable.shape.as_proto())
        root.children.add(node_id=numbers[name], local_name=name)
    for name in graph.constants:
        objects.nodes.add().constant.operation = name
    trained = [name for name, variable in graph.variables.items() if variable.trainable]
    for name, members in (("variables", list(numbers)), ("trainable_variables", trained)):
        root.children.add(node_id=len(objects.nodes), local_name=name)
        node = objects.nodes.add()
        generic(node, "trackable_list_wrapper")
        for i, member in enumerate(members):
            node.children.add(node_id=numbers[member], local_name=str(i))
    root.children.add(node_id=len(objects.nodes), local_name="signatures")
    signatures = objects.nodes.add()
    generic(signatures, "signature_map")
    places = {}
    for name, function in functions.items():
        if id(function) not in places:
            places[id(function)] = len(objects.nodes)
            add_function(objects, function, graph)
        signatures.children.add(node_id=places[id(function)], local_name=name)


def generic(node, identifier: str) -> None:
    node.user_object.identifier = identifier
    node.user_object.version.producer = node.user_object.version.min_consumer = 1


def add_function(objects, function, graph: MainGraph) -> None:
    """A function that is called by the names of its arguments."""
    import tensorflow as tf
    from tensorflow.python.saved_model.nested_structure_coder import encode_structure

    arguments = graph.arguments(function)
    names = list(arguments)
    bare = objects.nodes.add().bare_concrete_function
    bare.concrete_function_name = name_of(function)
    bare.argument_keywords.extend(names)
    bare.allowed_positional_arguments = int(len(names) == 1)
    spec = inspect.FullArgSpec([], None, None, None, names, None, {})
    bare.function_spec.fullargspec.CopyFrom(encode_structure(spec))
    bare.function_spec.input_signature.none_value.SetInParent()
    concrete = objects.concrete_functions[bare.concrete_function_name]
    concrete.bound_inputs.extend(number for number, _ in graph.captures(function))
    taken = {key: tf.TensorSpec(t.shape, t.dtype, key) for key, t in arguments.items()}
    given = {key: tf.TensorSpec(t.shape, t.dtype, key) for key, t in outputs_of(function).items()}
    concrete.canonicalized_input_signature.CopyFrom(encode_structure(((), taken)))
    concrete.output_signature.CopyFrom(encode_structure(given))


# The fingerprint


def write_fingerprint(folder: Path) -> None:
    """TensorFlow's own, under a uuid that the same model has each time; theirs is random."""
    from tensorflow.python.saved_model import fingerprinting_utils

    fingerprinting_utils.write_fingerprint(str(folder))
    if (folder / FINGERPRINT).exists():
        name_by_content(folder / FINGERPRINT)


def name_by_content(path: Path) -> None:
    """The same bytes for the same model: TensorFlow puts a random uuid into the fingerprint."""
    from tensorflow.core.protobuf import fingerprint_pb2

    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = ""
    fingerprint.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, fingerprint.SerializeToString(deterministic=True).hex()))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
