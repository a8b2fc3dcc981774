"""Operations of a graph with effects outside of it: files, Python, network, devices. Those of strangers are not run.

What an op does is told by TensorFlow's own registry: one that keeps state is refused unless it is known to be harmless,
so that one that nobody thought of is refused and not run. Of those without state a few are known to be harmful.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from visionport.errors import InputError, UnsupportedError
from visionport.graph.edit import base

FLAG = "--allow-unsafe-ops"
SHOWN = 5  # findings in an error


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An operation with an effect outside. function: the one that it lies in, "" for the main graph."""

    op: str
    node: str
    function: str
    effect: str

    def __str__(self) -> str:
        place = f" of the function {self.function}" if self.function else ""
        return f"{self.op} (node {self.node}{place}) {self.effect}"


# --- what ops do ---

# Ops with state that touch nothing but the process's own memory, its clock and its random numbers.
HARMLESS = re.compile(
    "|".join(
        (
            r"StatefulPartitionedCall|If|While|Case|Assert|Print|CheckNumerics(V2)?|Timestamp|Empty|DeepCopy",
            r"DeviceIndex|GraphDefVersion|GuaranteeConst|CrossReplicaSum|_Arg|_Retval",
            r"VarHandleOp|Variable(V2|Shape)?|TemporaryVariable|ReadVariableOp|Assign(Add|Sub)?VariableOp",
            r"VarIsInitializedOp|DestroyResourceOp|DisableCopyOnRead|IsResourceHandleRefCounting",
            r"Resource(Gather|Scatter|StridedSlice|Sparse|Apply|CountUpTo)\w*",
            r"Random\w*|Stateful(Random|Standard|Truncated|Uniform)\w*|TruncatedNormal|Multinomial|RngSkip",
            r"RngReadAndSkip|ParameterizedTruncatedNormal|NonDeterministicInts|StatelessRandomGetAlg",
            r"SampleDistortedBoundingBox(V2)?|\w+CandidateSampler|(Anonymous|Dummy|Delete)(Random)?SeedGenerator",
            r"(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?|InitializeTable(FromTextFile)?(V2)?",
            r"LookupTable\w+|TensorArray\w*|Stack(V2|PushV2|PopV2|CloseV2)?|(Map|OrderedMap)(Un)?Stage(NoKey)?",
            r"(Map|OrderedMap)(Peek|Size|IncompleteSize|Clear)|(Un)?Stage|Stage(Peek|Size|Clear)",
            r"(FIFO|PaddingFIFO|RandomShuffle|Priority|Fake)Queue(V2)?|Queue\w+|Barrier|MutexV2|MutexLock",
            r"ConsumeMutexLock|(Sparse|Resource)?ConditionalAccumulator|ResourceAccumulator\w+|CudnnRNN\w*",
            r"(Add|AddMany|TakeMany)Sparse(To|From)TensorsMap",
            r"(Tensor|TensorSlice|SparseTensorSlice|Range|Reduce|Generator)Dataset|Shuffle(AndRepeat)?DatasetV[23]",
            r"Anonymous(MultiDevice)?Iterator(V[23])?|Iterator(V2|GetNext\w*|ToStringHandle|FromStringHandle(V2)?)?",
            r"OneShotIterator|MakeIterator|Delete(MultiDevice)?Iterator|DatasetToSingleElement",
            r"(Dummy|Delete|Anonymous)MemoryCache",
        )
    )
)
# Of ops whose output is a data set: those that change what another gives.
DATASETS = re.compile(
    r"(Experimental)?(Parallel)?(Map|Batch|Filter|Interleave|FlatMap|PaddedBatch|Prefetch|Repeat|Take|Skip|Zip|Scan|"
    r"Concatenate|Options|Model|Optimize|Finalize|Window|TakeWhile|Unbatch|Unique|GroupByWindow|GroupByReducer|Rebatch|"
    r"Shard|AutoShard|IgnoreErrors|Shuffle|ShuffleAndRepeat|MapAndBatch|DenseToSparseBatch|ParseExample|Sliding|"
    r"SlidingWindow|DirectedInterleave|LegacyParallelInterleave|MaxIntraOpParallelism|PrivateThreadPool|AssertNext|"
    r"AssertPrev|AssertCardinality|Sampling|FilterByLastComponent|NonSerializable|ChooseFastest(Branch)?|"
    r"WeightedFlatMap|IndexFlatMap|BytesProducedStats|LatencyStats)Dataset(V\d)?"
)
# Ops without state that are harmful all the same: the registry does not tell.
HARMFUL = re.compile(
    r"ReadFile|MatchingFiles|PyFuncStateless|ImmutableConst|Reader\w+|InitializeTableFromTextFile|Debug(Identity|Nan|"
    r"Numeric)\w*|Copy(Host|ToMesh)?|Abort|MlirPassthroughOp|XlaCustomCall(V2)?|XlaLaunchV2|XlaHostCompute|XlaSend\w*|"
    r"XlaRecv\w*|XlaAllReduce|XlaReduceScatter|RegisterDataset(V2)?|DatasetFromGraph|Snapshot\w+|TPUPartitionedCall|"
    r"RewriteDataset|_CopyFrom\w+|DTensor\w+"
)
READS, WRITES = "reads files", "writes files"
# What an op that is refused does, by its name; the first that fits.
EFFECTS = (
    (r"(Eager)?PyFunc(Stateless)?", "runs Python code"),
    (r"Abort", "ends the process"),
    (r"Debug\w+|Copy(Host)?", "sends tensors to files or addresses"),
    (r"Rpc\w*|_?(Host)?(Send|Recv)|Collective\w+|\w*DataService\w*|_?Nccl\w+|RegisterDataset(V2)?", "uses the network"),
    (r"RemoteCall|WorkerHeartbeat|\w*Distributed\w*", "uses other machines"),
    (r"\w*(TPU|Infeed|Outfeed|Xla|DTensor|SparseCore|Mlir)\w*|AllToAll", "runs code on another device or outside"),
    (r"WriteFile|Save\w*|MergeV2Checkpoints|DistributedSave|\w*Summary\w*|ImportEvent|DumpTensor", WRITES),
    (r"CalibrationStatisticsSaver|PrintV2|\w*ToTFRecord\w*", WRITES),
    (r"\w*(File|Record|TextLine|Restore|Reader|LMDB|Sql|CSV|Snapshot|Cache|ListDataset)\w*|Load\w+", READS),
    (r"ImmutableConst|Skipgram|FixedUnigramCandidateSampler|(De|En)codeProto(V2)?", READS),
)
UNKNOWN = "has effects that are not known to stay inside"


def effect_of(node) -> str:
    """What a node does outside of its graph, "" for nothing."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    if definition is None:
        return ""  # a function; or an op that TensorFlow does not know and so does not run
    if node.op in CONDITIONS:
        return CONDITIONS[node.op](node)
    if definition.is_stateful:
        harmless = HARMLESS.fullmatch(node.op) or DATASETS.fullmatch(node.op)
    elif node.op.endswith("Dataset") or re.search(r"Dataset(V\d|Reader)$", node.op):
        harmless = DATASETS.fullmatch(node.op)
    else:
        harmless = not HARMFUL.fullmatch(node.op)
    return "" if harmless else describe_effect(node.op)


def describe_effect(op: str) -> str:
    return next((text for pattern, text in EFFECTS if re.fullmatch(pattern, op)), UNKNOWN)


def of_attribute(name: str, harmless: Callable[[str], Any]) -> Callable[[Any], str]:
    """The effect of an op that only some values of a text attribute give it."""
    return lambda node: "" if harmless(node.attr[name].s.decode(errors="replace")) else describe_effect(node.op)


def is_inside(text: str) -> bool:
    return text.startswith(("local://", "bytes://")) or not text


# Ops that do something outside with some attributes only.
CONDITIONS: Mapping[str, Callable[[Any], str]] = {
    "PrintV2": of_attribute("output_stream", lambda s: s in ("", "stderr", "stdout") or s.startswith("log(")),
    "FixedUnigramCandidateSampler": of_attribute("vocab_file", lambda s: not s),
    "DecodeProtoV2": of_attribute("descriptor_source", is_inside),
    "EncodeProto": of_attribute("descriptor_source", is_inside),
    **dict.fromkeys(("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"), lambda node: READS),
}


# --- where they are ---

FROM_FILES = re.compile(r"InitializeTableFromTextFile(V2)?")
RESTORES = ("RestoreV2", "Restore", "RestoreSlice")
SAVERS = (*RESTORES, "SaveV2", "SaveSlices", "Save", "MergeV2Checkpoints")


@dataclass(frozen=True, eq=False)
class Scope:
    """A graph by names. bound: function -> main graph's names of its last arguments, of a SavedModel's objects."""

    graph: Any
    bound: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def nodes(self) -> dict[str, Any]:
        return {n.name: n for n in self.graph.node}

    @cached_property
    def functions(self) -> dict[str, Any]:
        return {f.signature.name: f for f in self.graph.library.function}

    @cached_property
    def bodies(self) -> dict[str, dict[str, Any]]:
        return {name: {n.name: n for n in f.node_def} for name, f in self.functions.items()}

    @cached_property
    def calls(self) -> dict[str, list[tuple[str, Any]]]:
        """Function -> where it is called: (function or "", node)."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for place, nodes in (("", self.graph.node), *((n, f.node_def) for n, f in self.functions.items())):
            for node in nodes:
                for name in called(node):
                    found.setdefault(name, []).append((place, node))
        return found

    def reach(self, names: Iterable[str], functions: Iterable[str] = ()) -> tuple[set[str], set[str]]:
        """The nodes of the main graph that these need, and the functions that are called on the way."""
        nodes, seen = [n for n in dict.fromkeys(map(base, names)) if n in self.nodes], set()
        seen.update(nodes)
        used = [f for f in dict.fromkeys(functions) if f in self.functions]
        found = set(used)

        def call(node) -> None:
            new = {f for f in called(node) if f in self.functions} - found
            found.update(new)
            used.extend(new)

        for name in nodes:  # grows while it is walked
            node = self.nodes[name]
            call(node)
            new = dict.fromkeys(s for s in map(base, node.input) if s not in seen and s in self.nodes)
            seen.update(new)
            nodes.extend(new)
        for name in used:  # grows while it is walked
            for node in self.functions[name].node_def:
                call(node)
        return seen, found

    def sources(self, place: str, name: str, seen: frozenset = frozenset()) -> set[str] | None:
        """The main graph's nodes that a tensor comes from, unchanged; None where that is not known."""
        if (place, name) in seen:
            return set()
        seen |= {(place, name)}
        if place and base(name) not in self.bodies[place]:
            return self._argument_sources(place, base(name), seen)
        node = (self.bodies[place] if place else self.nodes).get(base(name))
        if node is None:
            return None
        if node.op == "Identity" and node.input:
            return self.sources(place, node.input[0], seen)
        if node.op == "ReadVariableOp" and not place and node.input:
            return self._assigned_sources(base(node.input[0]), seen)
        return None if place else {node.name}

    def _argument_sources(self, function: str, name: str, seen: frozenset) -> set[str] | None:
        arguments = [a.name for a in self.functions[function].signature.input_arg]
        if name not in arguments:
            return None
        index, ends = arguments.index(name), []
        for place, node in self.calls.get(function, ()):
            data = [i for i in node.input if i[0] != "^"]
            direct = node.op in ("PartitionedCall", "StatefulPartitionedCall", function)
            ends.append(self.sources(place, data[index], seen) if direct and index < len(data) else None)
        bound = self.bound.get(function, ())
        if bound:
            position = index - (len(arguments) - len(bound))
            ends.append({bound[position]} if position >= 0 else None)
        return None if not ends or any(e is None for e in ends) else set().union(*ends)  # pyright: ignore

    def _assigned_sources(self, variable: str, seen: frozenset) -> set[str] | None:
        """What a variable of the main graph is given, where nothing but plain assignments can change it."""
        node = self.nodes.get(variable)
        if node is None or node.op != "VarHandleOp":
            return None
        shared = [n for n in self.graph.node if n.op == "VarHandleOp" and key(n) == key(node)]
        readers = [n for n in self.graph.node if any(base(i) == variable and i[0] != "^" for i in n.input)]
        plain = ("VarIsInitializedOp", "AssignVariableOp", "ReadVariableOp")
        if len(shared) > 1 or any(n.op not in plain for n in readers):
            return None
        ends = [self.sources("", n.input[1], seen) for n in readers if n.op == "AssignVariableOp" and len(n.input) > 1]
        return None if not ends or any(e is None for e in ends) else set().union(*ends)  # pyright: ignore


def key(handle) -> tuple[bytes, bytes]:
    return handle.attr["container"].s, handle.attr["shared_name"].s


def called(node) -> Iterator[str]:
    """The functions that a node may call: by its op, its attributes, and those of functions in them."""
    yield node.op
    left = [*node.attr.values()]
    while left:
        value = left.pop()
        for function in (value.func, *value.list.func) if value.WhichOneof("value") in ("func", "list") else ():
            if function.name:
                yield function.name
                left += function.attr.values()


def find_effects(
    scope: Scope,
    nodes: Iterable[str],
    functions: Iterable[str],
    *,
    allowed: Callable[[str, Any], bool] = lambda place, node: False,
) -> list[Finding]:
    """The operations with effects outside among nodes of the main graph and in functions. allowed: (place, node)."""
    wanted = set(nodes)
    places: list[tuple[str, Any]] = [("", n) for n in scope.graph.node if n.name in wanted]
    places += [(name, n) for name in sorted(set(functions)) for n in scope.functions[name].node_def]
    return [
        Finding(op=n.op, node=n.name, function=place, effect=effect)
        for place, n in places
        if (effect := effect_of(n)) and not allowed(place, n)
    ]


def find_all(graph) -> list[Finding]:
    """Those anywhere in a graph, whether they are run or not."""
    scope = Scope(graph)
    return find_effects(scope, scope.nodes, scope.functions)


def find_needed(graph, kept: Iterable[str]) -> list[Finding]:
    """Those that nodes need."""
    scope = Scope(graph)
    return find_effects(scope, *scope.reach(kept))


def find_evaluated(graph) -> list[Finding]:
    """Those that TensorFlow may evaluate already when it imports the graph: the ones without state."""
    from tensorflow.python.framework import op_def_registry

    return [f for f in find_all(graph) if not getattr(op_def_registry.get(f.op), "is_stateful", True)]


def set_aside_evaluated(graph) -> None:
    """Puts placeholders, in the main graph, in place of what TensorFlow may evaluate when it imports the graph."""
    from tensorflow.python.framework import op_def_registry

    from visionport.graph.soundness import attributes

    for node in list(graph.node):
        if not effect_of(node) or (definition := op_def_registry.get(node.op)) is None or definition.is_stateful:
            continue
        given, types = attributes(node, definition), []
        for arg in definition.output_arg:
            one = given[arg.type_attr].type if arg.type_attr else arg.type
            listed = given[arg.type_list_attr].list.type if arg.type_list_attr else [one]
            types += [*listed] * (given[arg.number_attr].i if arg.number_attr else 1)
        node.op = "IdentityN" if types else "NoOp"
        node.attr.clear()
        node.attr["T"].list.type.extend(types)
        node.input[:] = [f"{node.name}/set_aside_{i}" for i in range(len(types))]
        for name, kind in zip(node.input, types, strict=True):
            graph.node.add(name=name, op="Placeholder").attr["dtype"].type = kind


def refuse(path: Path | str, findings: Sequence[Finding]) -> None:
    """Raises UnsupportedError where there are findings."""
    if not findings:
        return
    said = "; ".join(map(str, findings[:SHOWN]))
    more = f"; and {len(findings) - SHOWN} more" if len(findings) > SHOWN else ""
    raise UnsupportedError(
        f"{path} does something outside of its graph, and was not run: {said}{more}. `visionport inspect` lists all of "
        f"it. If you trust the file's maker, add {FLAG} (in Python allow_unsafe_ops=True); see docs/security.md."
    )


# --- SavedModels ---

INITIAL = ("saved_model_main_op", "legacy_init_op")  # collections
INIT_SIGNATURE = "__saved_model_init_op"
CREATORS = re.compile(r"_initialize|_create_resource|_initializer|_restore\w*|_deserialize\w*")


def check_saved_model(path: Path, meta, *, signatures: Iterable[str] = (), loaded: bool = False) -> None:
    """Raises for a SavedModel that does something outside when it is loaded, or when these signatures are run.

    loaded: by tf.saved_model.load, which may call every function of its objects. Otherwise only what initialises it and
    what restores its variables is looked at besides. Raises InputError for an asset outside of its folder.
    """
    assets = check_assets(path, meta)
    refuse(path, find_in_saved_model(meta, assets, signatures=signatures, loaded=loaded))


def find_in_saved_model(
    meta, assets: Mapping[str, str], *, signatures: Iterable[str] = (), loaded: bool = False
) -> list[Finding]:
    """What a MetaGraphDef of a SavedModel does outside when it is loaded and run. assets: node -> file."""
    scope = Scope(meta.graph_def, bound_arguments(meta))
    may_read = functools.partial(reads_assets, scope, assets)
    filename = base(meta.saver_def.filename_tensor_name)
    chosen = [s for s in signatures if s in meta.signature_def and not s.startswith("__")]
    ends = [t.name for s in chosen for t in meta.signature_def[s].outputs.values()]
    answering = scope.reach(ends)
    starting = scope.reach(initial_nodes(meta), initial_functions(meta, every=loaded))
    restoring = scope.reach([meta.saver_def.restore_op_name])

    def may_restore(place: str, node) -> bool:
        return node.op in RESTORES and scope.sources(place, node.input[0] if node.input else "") == {filename}

    initialised = find_effects(scope, *starting, allowed=may_read)
    ran = {(f.node, f.function) for f in initialised}
    answered = [f for f in find_effects(scope, *answering) if (f.node, f.function) not in ran]
    ran |= {(f.node, f.function) for f in answered}
    only_restored = (restoring[0] - answering[0] - starting[0], restoring[1] - answering[1] - starting[1])
    restored = find_effects(scope, *only_restored, allowed=may_restore)
    return [*initialised, *answered, *restored]


def reads_assets(scope: Scope, assets: Mapping[str, str], place: str, node) -> bool:
    """Is it a table that is filled from assets of its own SavedModel?"""
    found = scope.sources(place, node.input[1]) if FROM_FILES.fullmatch(node.op) and len(node.input) > 1 else None
    return bool(found) and all(name in assets for name in found or ())


def list_effects(meta, assets: Mapping[str, str]) -> list[Finding]:
    """What a MetaGraphDef does outside wherever it is, run or not, but for how it saves and restores its variables."""
    scope = Scope(meta.graph_def, bound_arguments(meta))
    nodes, functions = scope.reach([meta.saver_def.save_tensor_name, meta.saver_def.restore_op_name])

    def of_saver(place: str, node) -> bool:
        if node.op not in SAVERS:
            return False
        if place in functions or (not place and node.name in nodes):
            return True
        ends = scope.sources(place, node.input[0]) if node.input else None  # a graph alone does not name its saver
        return bool(ends) and all(is_filename(scope.nodes[e]) for e in ends or ())

    def allowed(place: str, node) -> bool:
        return of_saver(place, node) or reads_assets(scope, assets, place, node)

    everywhere = find_effects(scope, scope.nodes, scope.functions, allowed=allowed)
    ran = find_in_saved_model(meta, assets, signatures=meta.signature_def, loaded=True)
    return [*ran, *(f for f in everywhere if f not in ran)]


def is_filename(node) -> bool:
    """Does a saver take its file's name from there? It is fed; in old graphs a constant stands for it."""
    return node.op.startswith("Placeholder") or bool(re.search(r"(^|/)save(_\d+)?/Const$", node.name))


def initial_nodes(meta) -> list[str]:
    """What is run when a SavedModel is loaded."""
    names = [n for k in INITIAL for n in meta.collection_def[k].node_list.value if k in meta.collection_def]
    if INIT_SIGNATURE in meta.signature_def:
        names += [t.name for t in meta.signature_def[INIT_SIGNATURE].outputs.values()]
    return names


def initial_functions(meta, *, every: bool) -> list[str]:
    """The functions that create and initialise a SavedModel's objects; or every one that they have."""
    objects = meta.object_graph_def
    if every:
        return [*objects.concrete_functions]
    found = []
    for parent in objects.nodes:
        for child in parent.children:
            if CREATORS.fullmatch(child.local_name) and 0 <= child.node_id < len(objects.nodes):
                node = objects.nodes[child.node_id]
                found += [*node.function.concrete_functions, node.bare_concrete_function.concrete_function_name]
    return [name for name in found if name]


def bound_arguments(meta) -> dict[str, list[str]]:
    """Function -> the main graph's node of each argument that its objects bind; "" for what is no asset."""
    objects = meta.object_graph_def
    files = [base(a.tensor_info.name) for a in meta.asset_file_def]

    def name(number: int) -> str:
        node = objects.nodes[number] if 0 <= number < len(objects.nodes) else None
        if node is None or not node.HasField("asset"):
            return ""
        index = node.asset.asset_file_def_index
        return files[index] if 0 <= index < len(files) else ""

    return {f: [name(i) for i in c.bound_inputs] for f, c in objects.concrete_functions.items()}


def check_assets(path: Path, meta) -> dict[str, str]:
    """{node: its file} of a SavedModel's assets. Raises InputError for one that leads out of their folder."""
    folder = path / "assets"
    found = {}
    for name, file in asset_files(path, meta):
        place = folder / file
        inside = folder.resolve()
        if not place.resolve().is_relative_to(inside) or not inside.is_relative_to(path.resolve()):
            raise InputError(f"{path}: its asset {file!r} leads out of {folder}, and is not read.")
        if place.exists() and not place.is_file():
            raise InputError(f"{path}: its asset {place} is no file.")
        found[base(name)] = file
    return found


def asset_files(path: Path, meta) -> Iterator[tuple[str, str]]:
    """(tensor, file) of a SavedModel's assets, of TF1's collection too."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import meta_graph_pb2

    yield from ((a.tensor_info.name, a.filename) for a in meta.asset_file_def)
    for packed in (
        meta.collection_def["saved_model_assets"].any_list.value if "saved_model_assets" in meta.collection_def else ()
    ):
        asset = meta_graph_pb2.AssetFileDef()
        try:
            packed.Unpack(asset)
        except DecodeError:
            raise InputError(f"{path}: the list of its assets is damaged.") from None
        yield asset.tensor_info.name, asset.filename
