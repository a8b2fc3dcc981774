"""The flatbuffer of a TFLite file: parsed, its names, and written again. The schema is the runtime's own."""

from typing import Any

import numpy as np

from visionport.errors import ArtifactError
from visionport.tflite import consistency
from visionport.tflite.verifier import verify_tflite

MAX_BYTES = 2**31 - 1  # flatbuffer offsets are 32 bits, and read as signed


def parse(model: bytes, edit: bool = False) -> Any:
    """The file as the schema's `ModelT`; its buffers are views of `model`, not copies.

    Raises ArtifactError for what is damaged: all that is reached by its offsets and indices is there.
    """
    from ai_edge_litert import schema_py_generated as schema

    if len(model) > MAX_BYTES:
        raise ArtifactError(f"the TFLite model has {len(model):,} bytes; a flatbuffer holds at most {MAX_BYTES:,}")
    if model[4:8] != b"TFL3":
        raise ArtifactError("not a TFLite file: the identifier 'TFL3' is missing")
    try:
        verify_tflite(model)
        parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
        if not parsed.subgraphs or not parsed.buffers:
            raise ArtifactError("it holds no graph")
        consistency.check_model(parsed, len(model))
    except ArtifactError as error:
        raise ArtifactError(f"the TFLite file is damaged or cut short: {error}") from None
    if edit:
        check_editable(model, parsed)
    return parsed


def check_editable(model: bytes, parsed) -> None:
    """Refuses what would get lost when the flatbuffer is written again."""
    if model[-22:-18] == b"PK\5\6":  # the end record of a zip file
        raise ArtifactError("the TFLite file has packed metadata files, which an edit would lose: add metadata last")
    if any(buffer.offset > 1 for buffer in parsed.buffers):
        raise ArtifactError("the TFLite file keeps its weights behind the flatbuffer (a model over 2 GB): unsupported")
    if len(parsed.signatureDefs or ()) > 1:
        keys = ", ".join(text(signature.signatureKey) for signature in parsed.signatureDefs)
        raise ArtifactError(f"the TFLite file has several signatures ({keys}); convert one")
    for graph in parsed.subgraphs:
        for op in graph.operators or ():
            lost = op.builtinOptionsType and op.builtinOptions is None
            if lost or (op.builtinOptions2Type and op.builtinOptions2 is None):
                raise ArtifactError("the TFLite file has an op newer than ai-edge-litert: update ai-edge-litert")


def serialize(parsed) -> bytes:
    import flatbuffers

    parsed.buffers = [AlignedBuffer(buffer.data) for buffer in parsed.buffers]
    weights = sum(buffer.data.size for buffer in parsed.buffers if buffer.data is not None)
    if weights > MAX_BYTES:
        raise ArtifactError(f"the TFLite model has {weights:,} bytes of weights; a file holds at most {MAX_BYTES:,}")
    builder = flatbuffers.Builder(min(weights + (1 << 20), MAX_BYTES))
    try:
        builder.Finish(parsed.Pack(builder), file_identifier=b"TFL3")
    except flatbuffers.builder.BuilderSizeError as error:
        raise ArtifactError(f"the TFLite model does not fit in a file of {MAX_BYTES:,} bytes") from error
    return bytes(memoryview(builder.Bytes)[builder.Head() :])


class AlignedBuffer:
    """A buffer that packs itself 16-byte aligned, as the schema says and the generated code does not."""

    def __init__(self, data: np.ndarray | None):
        self.data = data

    def Pack(self, builder):  # noqa: N802 (the generated code calls it)
        from ai_edge_litert import schema_py_generated as schema

        data = None
        if self.data is not None:
            size = self.data.size
            builder.StartVector(1, size, 16)
            builder.head -= size
            builder.Bytes[builder.head : builder.head + size] = self.data.data
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def make(kind: Any, **fields) -> Any:
    made = kind()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def add_metadata(parsed, name: str, data: bytes) -> None:
    """A metadata entry with a buffer of its own."""
    from ai_edge_litert import schema_py_generated as schema

    entry = make(schema.MetadataT, name=name, buffer=len(parsed.buffers))
    parsed.metadata = [*(parsed.metadata or []), entry]
    parsed.buffers.append(make(schema.BufferT, data=np.frombuffer(data, np.uint8)))


def metadata_of(parsed, name: str) -> bytes | None:
    """The content of the first metadata entry of that name; None without one."""
    for entry in parsed.metadata or ():
        if text(entry.name) == name:
            data = parsed.buffers[entry.buffer].data
            return b"" if data is None else bytes(data)
    return None


def code_of(operator_code) -> int:
    # Old files have only the byte; new ones hold 127 in it for codes that do not fit.
    return max(operator_code.builtinCode, operator_code.deprecatedBuiltinCode)


def text(name: bytes | str | None) -> str:
    return name.decode() if isinstance(name, bytes) else name or ""


def op_names(parsed) -> list[tuple[str, bool]]:
    """(name, is it custom) of each operator code."""
    from ai_edge_litert import schema_py_generated as schema

    builtin = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    return [
        (text(c.customCode), True) if c.customCode else (builtin.get(code_of(c), f"BUILTIN_{code_of(c)}"), False)
        for c in parsed.operatorCodes or ()
    ]
