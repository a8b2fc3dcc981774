"""Where a graph comes from: a SavedModel, or a GraphDef or MetaGraphDef with a checkpoint."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport.downloads import check_download
from visionport.errors import InputError, OptionError, UnsupportedError, nearest
from visionport.filetypes import POINTER, WEB_PAGE, kind_of_file
from visionport.graph import edit, effects, growth, soundness
from visionport.graph.values import from_checkpoint, from_saved_model, initialized, restored

SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")
DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model to freeze. inputs and outputs: key -> tensor name, of its signature; empty where it has none.

    values: variables' nodes -> their arrays, by the nodes' names. signature: its name. trainable: the nodes' names of
    variables that were trained; None where nothing says so. trusted: ops with effects outside may run.
    """

    path: Path
    graph: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    values: Callable[[Sequence[Any]], Mapping[str, Any]]
    signature: str | None = None
    trainable: frozenset[str] | None = None
    trusted: bool = False

    def check_effects(self, graph, kept: Iterable[str]) -> None:
        """Raises UnsupportedError where nodes of its graph need ops with effects outside, and these are not allowed."""
        if not self.trusted:
            effects.refuse(self.path, effects.find_needed(graph, kept))


def check_source(path: Path) -> None:
    """Raises InputError or UnsupportedError for what is plainly no model of TensorFlow's, without TensorFlow."""
    if not path.exists():
        raise InputError(f"{path}: no such model{find_near_files(path)}.")
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is neither a file nor a folder.")
    if path.suffix in (".keras", ".h5", ".hdf5"):
        raise UnsupportedError(
            f"{path} is a Keras file, not a graph. Load it with keras.saving.load_model, write a SavedModel with "
            "model.export(DIR), and give DIR."
        )
    if path.suffix == ".index" or ".data-" in path.name:
        raise InputError(
            f"{path} is a part of a checkpoint, which holds no graph. Give its .meta with --checkpoint; or take "
            "`visionport export`, which builds the graph from a config."
        )
    kind = kind_of_file(path)
    if kind and kind not in (POINTER, WEB_PAGE):
        raise InputError(f"{path} is {kind}, not a SavedModel or a graph (.pb, .pbtxt, .meta).")
    if path.is_dir() and not any((path / n).is_file() for n in SAVED_MODEL):
        if any(path.glob("*.index")) and not any(path.glob("*.meta")):
            raise InputError(
                f"{path} holds a checkpoint and no graph. `visionport export --config pipeline.config --checkpoint "
                f"{path} --out exported --format frozen_graph` builds the graph and freezes it."
            )
        found = [f.name for f in sorted(path.rglob("*")) if f.suffix in (".meta", ".pb", ".pbtxt")][:5]
        there = f" There: {', '.join(found)}." if found else ""
        raise InputError(f"{path} is no SavedModel: no {SAVED_MODEL[0]} in it.{there}")


def open_source(
    path: Path, checkpoint=None, tags=None, signature=None, initializers=(), *, trusted: bool = False
) -> Source:
    """What lies at `path`: a SavedModel's folder, a .meta, a graph as .pb or .pbtxt.

    trusted: ops with effects outside may run; otherwise raises UnsupportedError for them, here where opening runs them.
    """
    check_source(path)
    if path.name in SAVED_MODEL:
        path = path.parent
    if path.is_dir():
        if checkpoint:
            raise OptionError(f"--checkpoint {checkpoint}: a SavedModel ({path}) has its own. Leave it out.")
        return open_saved_model(path, tags, signature, trusted)
    if tags:
        raise OptionError(f"--tag {','.join(tags)}: only a SavedModel has tags, and {path} is a graph. Leave it out.")
    meta = read_meta_graph(path)
    graph, signatures = meta.graph_def, meta.signature_def
    name = choose_signature(path, signatures, signature) if signatures or signature else None
    chosen = signatures[name] if name else None
    growth.check_growth(path, graph)
    if initializers:
        edit.known(graph, initializers, "--initializer")
        if not trusted:
            effects.refuse(path, effects.find_needed(graph, initializers))
    keys, start = restored(graph), initialized(graph, initializers) if initializers else {}
    return Source(
        path=path,
        graph=graph,
        inputs=tensor_names(path, chosen.inputs) if chosen else {},
        outputs=tensor_names(path, chosen.outputs) if chosen else exported_outputs(graph),
        values=lambda nodes: from_checkpoint(path, checkpoint, nodes, keys, start),
        signature=name,
        trainable=trainable_nodes(path, meta),
        trusted=trusted,
    )


def check_is_binary(path: Path, binary: bool) -> None:
    """Raises OptionError where a graph is not what it is said to be."""
    is_text = looks_like_text(path.read_bytes())
    if binary == is_text:
        said, found = ("binary", "text") if binary else ("text", "binary")
        raise OptionError(f"{path} is said to be {said}, but is {found}: --input_binary={str(not is_text).lower()}.")


def read_graph_def(path: Path):
    """(GraphDef, {signature: SignatureDef}) of a GraphDef or MetaGraphDef, as text or binary."""
    meta = read_meta_graph(path)
    return meta.graph_def, dict(meta.signature_def)


def read_meta_graph(path: Path):
    """The MetaGraphDef of a file that holds one, or a GraphDef, as text or binary; see soundness.py.

    Raises InputError for what is none, or is damaged.
    """
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import meta_graph_pb2

    if not path.is_file():
        raise InputError(f"{path} is no file.")
    data = path.read_bytes()
    check_download(data, path, "graph", InputError)
    is_text = looks_like_text(data)
    kinds = [graph_pb2.GraphDef, meta_graph_pb2.MetaGraphDef]
    if path.suffix == ".meta":
        kinds.reverse()
    for kind in kinds:
        try:
            found = text_format.Parse(data.decode(), kind()) if is_text else kind.FromString(data)
        except (DecodeError, text_format.ParseError, UnicodeDecodeError, RecursionError):
            continue
        meta = found if isinstance(found, meta_graph_pb2.MetaGraphDef) else meta_graph_pb2.MetaGraphDef(graph_def=found)
        if meta.graph_def.node and all(n.op for n in meta.graph_def.node):
            soundness.check_meta_graph(path, meta)
            forget_scalars(meta.graph_def)
            return meta
    raise InputError(f"{path} holds no GraphDef or MetaGraphDef: is it whole? A SavedModel is given as its folder.")


def forget_scalars(graph) -> None:
    """In graphs of producer below 24 the shape of a scalar means any shape, as TensorFlow's own importer takes it."""
    for node in graph.node if graph.versions.producer < 24 else ():
        if node.op == "Placeholder" and "shape" in node.attr and not node.attr["shape"].shape.dim:
            node.attr["shape"].shape.unknown_rank = True


def looks_like_text(data: bytes) -> bool:
    head = data[:4096]
    return bool(head) and all(b in b"\t\n\r" or b >= 32 for b in head) and b"{" in data[:65536]


def find_near_files(path: Path) -> str:
    return nearest(path.name, [f.name for f in path.parent.iterdir()]) if path.parent.is_dir() else ""


def exported_outputs(graph) -> dict[str, str]:
    """The output nodes of a graph of the Object Detection API's exporter: detections, and what else nothing reads."""
    names = {n.name for n in graph.node}
    if "detection_boxes" not in names:
        return {}
    own = [n for n in names if n.startswith(("detection_", "num_detections", "raw_detection_")) and "/" not in n]
    return {name: f"{name}:0" for name in sorted({*own, *list_unread(graph)})}


def choose_signature(path: Path, signatures: Mapping[str, Any], name: str | None) -> str:
    """A signature's name: the one asked for, the default, or the only one."""
    callable_ = {k: v for k, v in signatures.items() if not k.startswith("__")}
    if name is None:
        name = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in callable_ or len(callable_) != 1 else next(iter(callable_))
    if name not in callable_:
        have = ", ".join(callable_) or "none; save it again with tf.saved_model.save(model, DIR, signatures=...)"
        raise OptionError(f"{path} has no signature {name!r}{nearest(name, callable_)}. It has: {have}.")
    return name


def read_saved_model(path: Path):
    """The SavedModel (its protobuf) of a folder, as binary or text; see soundness.py.

    Raises InputError for what is none, or is damaged.
    """
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = next((path / n for n in SAVED_MODEL if (path / n).is_file()), None)
    if file is None:
        raise InputError(f"{path} is no SavedModel: no {SAVED_MODEL[0]} in it.")
    try:
        data = file.read_bytes()
        check_download(data[:4096], file, "SavedModel", InputError)
        kind = saved_model_pb2.SavedModel
        content = kind.FromString(data) if file.suffix == ".pb" else text_format.Parse(data.decode(), kind())
    except (OSError, DecodeError, text_format.ParseError, UnicodeDecodeError, RecursionError) as e:
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise InputError(f"{path}: its {file.name} cannot be read: {reason}. Is it whole?") from None
    if not content.meta_graphs:
        raise InputError(f"{path}: its {file.name} holds no graph. Is it whole?")
    for meta in content.meta_graphs:
        soundness.check_meta_graph(path, meta)
    return content


def tensor_names(path: Path, infos: Mapping[str, Any]) -> dict[str, str]:
    """Key -> tensor, of one side of a signature. Raises UnsupportedError for what is no single tensor."""
    for key, info in infos.items():
        if info.WhichOneof("encoding") != "name":
            raise UnsupportedError(f"{path}: {key!r} of its signature is a sparse or ragged tensor, not a dense one.")
    return {key: info.name for key, info in sorted(infos.items())}


def open_saved_model(path: Path, tags: Sequence[str] | None, signature: str | None, trusted: bool) -> Source:
    content = read_saved_model(path)
    sets = [tuple(m.meta_info_def.tags) for m in content.meta_graphs]
    wanted = set(tags or ("serve",))
    found = [m for m, s in zip(content.meta_graphs, sets, strict=True) if set(s) == wanted]
    if not found and tags is None and len(sets) == 1:
        found, wanted = list(content.meta_graphs), set(sets[0])
    if not found:
        have = [",".join(s) for s in sets]
        given = ",".join(sorted(wanted))
        raise OptionError(
            f"{path} has nothing tagged {given!r}{nearest(given, have)}. Its tag sets: {'; '.join(have)}."
        )
    (meta, *_) = found
    name = choose_signature(path, meta.signature_def, signature)
    chosen, graph = meta.signature_def[name], meta.graph_def
    if not trusted:
        effects.check_saved_model(path, meta)
    growth.check_growth(path, graph, functions=True)
    forget_scalars(graph)
    keys = restored(graph)
    return Source(
        path=path,
        graph=graph,
        inputs=tensor_names(path, chosen.inputs),
        outputs=tensor_names(path, chosen.outputs),
        values=lambda nodes: from_saved_model(path, wanted, nodes, keys, None if trusted else graph),
        signature=name,
        trainable=trainable_nodes(path, meta),
        trusted=trusted,
    )


def trainable_nodes(path: Path, meta) -> frozenset[str] | None:
    """The nodes of a MetaGraphDef's trainable variables, by its collections or its objects; None without either."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import variable_pb2

    listed = meta.collection_def["trainable_variables"].bytes_list.value
    if listed:
        try:
            return frozenset(edit.base(variable_pb2.VariableDef.FromString(v).variable_name) for v in listed)
        except DecodeError:
            raise InputError(f"{path} is damaged: its list of trainable variables cannot be read.") from None
    variables = [n.variable for n in meta.object_graph_def.nodes if n.HasField("variable")]
    return frozenset(v.name for v in variables if v.trainable) if variables else None


def list_unread(graph) -> list[str]:
    """Nodes that give something and that nothing reads, but for those that save variables and restore them."""
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(edit.base(name), []).append(node.name)
    saving = [n.name for n in graph.node if n.op in SAVERS]
    for name in saving:  # grows while it is walked
        saving += set(readers.get(name, ())) - set(saving)
    ignored = {n.name for n in graph.node if n.op in UNREAD} | set(saving)
    return [n.name for n in graph.node if n.name not in readers and n.name not in ignored]


UNREAD = ("NoOp", "Assign", "AssignVariableOp", "Const", "Placeholder", "Assert")
SAVERS = (
    "SaveV2",
    "SaveSlices",
    "Save",
    "MergeV2Checkpoints",
    "RestoreV2",
    "RestoreSlice",
    "Restore",
    "ShardedFilename",
)


def list_sinks(graph) -> str:
    """Those nodes, for an error."""
    found = list_unread(graph)
    return f"; nothing reads {', '.join(found[:8])}" if found else ""
