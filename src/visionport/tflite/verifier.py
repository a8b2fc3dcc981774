"""Is a flatbuffer what its schema says? Every offset and length is looked at before anything follows it.

The generated code of a schema, and runtimes that read without a verifier, follow whatever offset stands in a file. Here
a walk over the tables finds those that lead outside, names that are not UTF-8, and parts that are shared so often that
reading them would never end.
"""

import functools
import struct
from collections.abc import Mapping

from visionport import limits
from visionport.errors import ArtifactError

# A table's fields in the schema's order: a number of bytes, `text`, another table, or a vector in brackets; `union`
# stands for a table whose kind the field before it tells. Tables that hold numbers alone are left out.
TFLITE = {
    "Model": """version:4 operator_codes:[OperatorCode] subgraphs:[SubGraph] description:text buffers:[Buffer]
        metadata_buffer:[4] metadata:[Metadata] signature_defs:[SignatureDef]
        external_buffer_groups:[ExternalBufferGroup] external_buffers:[ExternalBuffer]""",
    "OperatorCode": "deprecated_builtin_code:1 custom_code:text version:4 builtin_code:4",
    "SubGraph": "tensors:[Tensor] inputs:[4] outputs:[4] operators:[Operator] name:text debug_metadata_index:4",
    "Tensor": """shape:[4] type:1 buffer:4 name:text quantization:QuantizationParameters is_variable:1
        sparsity:SparsityParameters shape_signature:[4] has_rank:1 variant_tensors:[VariantSubType]
        external_buffer:4""",
    "QuantizationParameters": """min:[4] max:[4] scale:[4] zero_point:[8] details_type:1 details:union
        quantized_dimension:4""",
    "CustomQuantization": "custom:[1]",
    "BlockwiseQuantization": "scales:4 zero_points:4 block_size:4 block_shape:[4]",
    "MultiAxisQuantization": "scales:4 zero_points:4 block_size:4 quantized_dimensions:[4]",
    "SparsityParameters": "traversal_order:[4] block_map:[4] dim_metadata:[DimensionMetadata]",
    "DimensionMetadata": """format:1 dense_size:4 array_segments_type:1 array_segments:union array_indices_type:1
        array_indices:union""",
    "Int32Vector": "values:[4]",
    "Uint16Vector": "values:[2]",
    "Uint8Vector": "values:[1]",
    "VariantSubType": "shape:[4] type:1 has_rank:1",
    "Operator": """opcode_index:4 inputs:[4] outputs:[4] builtin_options_type:1 builtin_options:union
        custom_options:[1] custom_options_format:1 mutating_variable_inputs:[1] intermediates:[4]
        large_custom_options_offset:8 large_custom_options_size:8 builtin_options_2_type:1 builtin_options_2:union
        debug_metadata_index:4""",
    "Buffer": "data:[1] offset:8 size:8",
    "Metadata": "name:text buffer:4",
    "SignatureDef": "inputs:[TensorMap] outputs:[TensorMap] signature_key:text deprecated_tag:text subgraph_index:4",
    "TensorMap": "name:text tensor_index:4",
    "ExternalBufferGroup": "name:text",
    "ExternalBuffer": "id:4 group:4 offset:8 length:8 packing:text",
    "FullyConnectedOptions": """fused_activation_function:1 weights_format:1 keep_num_dims:1
        asymmetric_quantize_inputs:1 quantized_bias_type:1 quant_spec:[1]""",
    "ConcatEmbeddingsOptions": "num_channels:4 num_columns_per_channel:[4] embedding_dim_per_channel:[4]",
    "ReshapeOptions": "new_shape:[4]",
    "SqueezeOptions": "squeeze_dims:[4]",
    "VarHandleOptions": "container:text shared_name:text",
    "BucketizeOptions": "boundaries:[4]",
    "StableHLOCompositeOptions": """name:text decomposition_subgraph_index:4 composite_attributes:[1]
        composite_attributes_format:1 version:4""",
    "StablehloBroadcastInDimOptions": "broadcast_dimensions:[8]",
    "StablehloCaseOptions": "branch_subgraph_indices:[4]",
    "StablehloConvolutionOptions": """window_strides:[8] padding:[8] lhs_dilation:[8] rhs_dilation:[8]
        window_reversal:[1] input_batch_dimension:8 input_feature_dimension:8 input_spatial_dimensions:[8]
        kernel_input_feature_dimension:8 kernel_output_feature_dimension:8 kernel_spatial_dimensions:[8]
        output_batch_dimension:8 output_feature_dimension:8 output_spatial_dimensions:[8] feature_group_count:8
        batch_group_count:8 precision_config:[4]""",
    "StablehloCustomCallOptions": """call_target_name:text has_side_effect:1 backend_config:text api_version:4
        called_computations:[4] custom_attributes:[1]""",
    "StablehloDotGeneralOptions": """lhs_batching_dimensions:[8] rhs_batching_dimensions:[8]
        lhs_contracting_dimensions:[8] rhs_contracting_dimensions:[8] precision_config:[4]""",
    "StablehloDynamicSliceOptions": "slice_sizes:[8]",
    "StablehloGatherOptions": """offset_dims:[8] collapsed_slice_dims:[8] start_index_map:[8] index_vector_dim:8
        slice_sizes:[8] indices_are_sorted:1""",
    "StablehloPadOptions": "edge_padding_low:[8] edge_padding_high:[8] interior_padding:[8]",
    "StablehloReduceOptions": "dimensions:[8] body_subgraph_index:4",
    "StablehloReduceWindowOptions": """window_dimensions:[8] window_strides:[8] base_dilations:[8]
        window_dilations:[8] padding:[8] body_subgraph_index:4""",
    "StablehloScatterOptions": """indices_are_sorted:1 update_window_dims:[8] inserted_window_dims:[8]
        scatter_dims_to_operand_dims:[8] index_vector_dim:8 unique_indices:1 update_computation_subgraph_index:4""",
    "StablehloSliceOptions": "start_indices:[8] limit_indices:[8] strides:[8]",
    "StablehloTransposeOptions": "permutation:[8]",
}
# Which enumeration of the schema tells the kind of a union.
TFLITE_UNIONS = {
    "details": "QuantizationDetails",
    "array_segments": "SparseIndexVector",
    "array_indices": "SparseIndexVector",
    "builtin_options": "BuiltinOptions",
    "builtin_options_2": "BuiltinOptions2",
}
# TFLite Metadata, as far as metadata.py reads it.
METADATA = {
    "ModelMetadata": """name:text description:text version:text subgraph_metadata:[SubGraphMetadata] author:text
        license:text associated_files:[AssociatedFile] min_parser_version:text""",
    "SubGraphMetadata": """name:text description:text input_tensor_metadata:[TensorMetadata]
        output_tensor_metadata:[TensorMetadata]""",
    "TensorMetadata": """name:text description:text dimension_names:[text] content:Content
        process_units:[ProcessUnit] stats:Stats associated_files:[AssociatedFile]""",
    "Content": "content_properties_type:1 content_properties:union",
    "ImageProperties": "color_space:1 default_size:ImageSize",
    "BoundingBoxProperties": "index:[4] type:1 coordinate_type:1",
    "ProcessUnit": "options_type:1 options:union",
    "NormalizationOptions": "mean:[4] std:[4]",
    "Stats": "max:[4] min:[4]",
    "AssociatedFile": "name:text description:text type:1 locale:text",
}
METADATA_UNIONS = {
    "content_properties": {1: "FeatureProperties", 2: "ImageProperties", 3: "BoundingBoxProperties"},
    "options": {1: "NormalizationOptions"},
}


@functools.cache
def tflite_unions() -> Mapping[str, Mapping[int, str]]:
    from ai_edge_litert import schema_py_generated as schema

    return {
        field: {code: name for name, code in vars(getattr(schema, kind)).items() if not name.startswith("_")}
        for field, kind in TFLITE_UNIONS.items()
    }


@functools.cache
def fields_of(table: str) -> tuple[tuple[str, str], ...]:
    """(name, kind) of a table's fields; none of one that holds numbers alone."""
    text = TFLITE.get(table) or METADATA.get(table) or ""
    return tuple((name, kind) for name, kind in (field.split(":") for field in text.split()))


def verify_tflite(data: bytes) -> None:
    """Raises ArtifactError for a file whose flatbuffer is damaged, with the place."""
    Walk(data, tflite_unions()).root("Model")


def verify_metadata(data: bytes) -> None:
    """The same of TFLite Metadata."""
    try:
        Walk(data, METADATA_UNIONS).root("ModelMetadata")
    except ArtifactError as e:
        raise ArtifactError(f"its TFLite Metadata: {e}") from None


class Walk:
    """One way through a flatbuffer. Parts that are shared are walked, and counted, as often as they are read."""

    def __init__(self, data: bytes, unions: Mapping[str, Mapping[int, str]]):
        self.data, self.unions, self.end = data, unions, len(data)
        self.tables = self.numbers = self.text = 0

    def root(self, table: str) -> None:
        try:
            self.table(self.indirect(0, table), table, table)
        except (struct.error, IndexError):
            raise ArtifactError("the flatbuffer is cut short") from None

    def table(self, at: int, table: str, where: str) -> None:
        self.tables += 1
        if self.tables > limits.TFLITE_TABLES:
            raise ArtifactError(f"the flatbuffer unfolds to over {limits.TFLITE_TABLES:,} tables; see {where}")
        self.inside(at, 4, where)
        vtable = at - INT.unpack_from(self.data, at)[0]
        self.inside(vtable, 4, where)
        length, size = VTABLE.unpack_from(self.data, vtable)
        if length < 4 or length % 2 or size < 4:
            raise ArtifactError(f"{where} is damaged: its table has no sound list of fields")
        self.inside(vtable, length, where)
        self.inside(at, size, where)
        known = fields_of(table)
        offsets = struct.unpack_from(f"<{length // 2 - 2}H", self.data, vtable + 4)
        if offsets and max(offsets) >= size:
            raise ArtifactError(f"{where} is damaged: a field lies outside of its table")
        for i, ((name, kind), offset) in enumerate(zip(known, offsets, strict=False)):
            if not offset:
                continue
            if kind.isdecimal():
                self.inside(at + offset, int(kind), where)
            elif kind == "union":
                code = self.data[at + offsets[i - 1]] if offsets[i - 1] else 0
                self.table(self.indirect(at + offset, where), self.unions[name].get(code, ""), f"{where}.{name}")
            else:
                self.field(self.indirect(at + offset, where), kind, f"{where}.{name}")

    def field(self, at: int, kind: str, where: str) -> None:
        if kind == "text":
            self.name(at, where)
        elif kind[0] != "[":
            self.table(at, kind, where)
        else:
            self.vector(at, kind[1:-1], where)

    def vector(self, at: int, kind: str, where: str) -> None:
        self.inside(at, 4, where)
        count, start = UINT.unpack_from(self.data, at)[0], at + 4
        width = int(kind) if kind.isdecimal() else 4
        if start + count * width > self.end:
            raise ArtifactError(f"{where} is damaged or cut short: {count:,} entries do not fit in the file")
        if kind.isdecimal():
            self.numbers += count if width > 1 else 0
            if self.numbers > limits.TFLITE_NUMBERS:
                raise ArtifactError(f"the flatbuffer unfolds to over {limits.TFLITE_NUMBERS:,} numbers; see {where}")
            return
        for i in range(count):
            self.field(self.indirect(start + 4 * i, where), kind, f"{where}[{i}]")

    def name(self, at: int, where: str) -> None:
        self.inside(at, 4, where)
        size = UINT.unpack_from(self.data, at)[0]
        self.inside(at + 4, size, where)
        self.text += size
        if self.text > limits.TFLITE_TEXT:
            raise ArtifactError(f"the flatbuffer unfolds to over {limits.TFLITE_TEXT:,} bytes of names; see {where}")
        try:
            str(self.data[at + 4 : at + 4 + size], "utf-8")
        except UnicodeDecodeError:
            raise ArtifactError(f"{where} is no text in UTF-8") from None

    def indirect(self, at: int, where: str) -> int:
        """Where the offset at a place leads."""
        self.inside(at, 4, where)
        return at + UINT.unpack_from(self.data, at)[0]

    def inside(self, at: int, size: int, where: str) -> None:
        if at < 0 or at + size > self.end:
            raise ArtifactError(f"{where} is damaged or cut short: it leads outside of the file's {self.end:,} bytes")


UINT, INT, VTABLE = struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<HH")
