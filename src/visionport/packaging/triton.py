"""Triton Inference Server: NAME/config.pbtxt, and the model in NAME/VERSION."""

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from visionport.errors import ArtifactError, OptionError
from visionport.formats.base import SignatureInfo, Tensor
from visionport.packaging.requests import binary_body
from visionport.packaging.source import Source
from visionport.packaging.target import Job, check_digest, check_saved_model, put_saved_model

NAME, TITLE = "triton", "Triton Inference Server"
FORMATS = ("saved_model", "onnx", "openvino")
WHY = {
    "tflite": "Triton has no backend for TFLite: the one there was, armnn_tflite for Arm processors, was never part of "
    "its containers and is no longer developed",
    "": "its containers load ONNX, OpenVINO and, if they are not too new, SavedModels",  # any other
}
CONFIG, LABELS, BODY = "config.pbtxt", "labels.txt", "request.bin"
LARGEST_BATCH = 8
DELAY = 1000  # microseconds that a request may wait for others

# format -> platform, backend, the model's file or folder in its version's.
BACKENDS = {
    "saved_model": ("tensorflow_savedmodel", "tensorflow", "model.savedmodel"),
    "onnx": ("onnxruntime_onnx", "onnxruntime", "model.onnx"),
    "openvino": ("", "openvino", "model.xml"),
}
DTYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "bfloat16": "TYPE_BF16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "string": "TYPE_STRING",
}
EXPLAINED = """\
This folder is a model repository: `{name}/config.pbtxt` describes the signature `{signature}`, and `{name}/{version}/`
holds the model. {batching}

## Run it

```
docker run --rm -p 8000:8000 -p 8001:8001 -v "$PWD:/models" nvcr.io/nvidia/tritonserver:{image}-py3 \\
    tritonserver --model-repository=/models --strict-readiness=true --model-control-mode=explicit \\
    --load-model={name}
```
{note}
## Ask it

`request.bin` is a request of the Open Inference Protocol with its tensor as bytes behind {head} bytes of JSON:

```
curl -H 'Inference-Header-Content-Length: {head}' --data-binary @request.bin localhost:8000/v2/models/{name}/infer
```

```python
import numpy as np
import tritonclient.http as triton  # pip install "tritonclient[http]"

client = triton.InferenceServerClient("localhost:8000")
value = np.zeros({shape}, {dtype})  # your picture
given = triton.InferInput("{input}", value.shape, "{datatype}")
given.set_data_from_numpy(value)
answer = client.infer("{name}", [given])
print(answer.as_numpy("{output}"))
```
"""
NOTE = """
The newest of Triton's containers have no TensorFlow backend any more; 24.12 has. For newer ones package ONNX
or OpenVINO.
"""


@cache
def message(name: str) -> Any:
    """The class of a message of Triton's model_config.proto, as far as it is written here."""
    pool = descriptor_pool.DescriptorPool()
    compiled = Path(__file__).parent / "schema" / "model_config.binpb"
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))


def settle(source: Source) -> Source:
    return source


def config_of(job: Job) -> Any:
    """The ModelConfig of one signature."""
    source = job.source
    signature = source.signatures[job.signature]
    platform, backend, file = BACKENDS[source.format]
    config = message("ModelConfig")(name=source.name, platform=platform, backend=backend, default_model_filename=file)
    batched = is_batched(signature)
    if batched:
        config.max_batch_size = LARGEST_BATCH
        config.dynamic_batching.max_queue_delay_microseconds = DELAY
    for tensors, ends in ((signature.inputs, config.input), (signature.outputs, config.output)):
        for tensor in tensors:
            add(ends, tensor, batched=batched)
    named = labelled(source, signature)
    for output in config.output:
        if output.name in named:
            output.label_filename = LABELS
    config.instance_group.add(count=1, kind=message("ModelInstanceGroup").KIND_CPU)
    if source.format == "saved_model":
        config.parameters["TF_SIGNATURE_DEF"].string_value = job.signature
    return config


def is_batched(signature: SignatureInfo) -> bool:
    """Whether every input and output has a row for each of any number of pictures."""
    return all(t.shape and t.shape[0] is None for t in (*signature.inputs, *signature.outputs))


def add(ends: Any, tensor: Tensor, *, batched: bool) -> None:
    if tensor.dtype not in DTYPES:
        raise OptionError(f"{tensor.name} is {tensor.dtype}, which Triton does not know.")
    end = ends.add(name=tensor.name)
    end.data_type = getattr(data_type(), DTYPES[tensor.dtype])
    dims = [-1 if size is None else size for size in tensor.shape[1 if batched else 0 :]]
    end.dims.extend(dims or [1])
    if not dims:  # Triton wants one at least: [1] there is a scalar here
        end.reshape.SetInParent()


def data_type() -> Any:
    from google.protobuf.internal import enum_type_wrapper

    field = message("ModelInput").DESCRIPTOR.fields_by_name["data_type"]
    return enum_type_wrapper.EnumTypeWrapper(field.enum_type)


def labelled(source: Source, signature: SignatureInfo) -> list[str]:
    """The outputs of which each column is a class with a name."""
    count = len(label_lines(source))
    if source.task.name != "classification" or not count:
        return []
    return [t.name for t in signature.outputs if len(t.shape) == 2 and t.shape[1] == count]


def label_lines(source: Source) -> list[str]:
    """A line for each column of a classifier's outputs."""
    labels = source.labels
    first = source.artifact["reading"].get("answers", {}).get("classes_from", 0)
    return [labels.get(number, f"class {number}") for number in range(first, max(labels, default=first - 1) + 1)]


def model_place(source: Source) -> str:
    return f"{source.name}/{source.version}/{BACKENDS[source.format][2]}"


def write(job: Job, folder: Path) -> str:
    source, place = job.source, model_place(job.source)
    if source.format == "saved_model":
        put_saved_model(job, folder / place)
    else:
        for name in source.files:
            target = folder / place if not name else (folder / place).with_suffix(f".{name}")
            source.copy_one(name, target)
    config = config_of(job)
    (folder / source.name / CONFIG).write_text(text_format.MessageToString(config))
    if any(output.label_filename for output in config.output):
        lines = "".join(f"{line}\n" for line in label_lines(source))
        (folder / source.name / LABELS).write_text(lines, "utf-8")
    (folder / BODY).write_bytes(binary_body(job.feeds)[0])
    return place


def check(job: Job, folder: Path) -> list[str]:
    source, place = job.source, folder / model_place(job.source)
    path = folder / source.name / CONFIG
    config = text_format.Parse(path.read_text(), message("ModelConfig")())
    if config != config_of(job):
        raise ArtifactError(f"{path} is not the config that was meant. Package again.")
    if not (place.parent / config.default_model_filename).exists():
        raise ArtifactError(f"{path} names {config.default_model_filename}, which is not there. Package again.")
    for output in config.output:
        if output.label_filename and not (path.parent / output.label_filename).is_file():
            raise ArtifactError(f"{path} names {output.label_filename}, which is not there. Package again.")
    if source.format == "saved_model":
        lines = check_saved_model(job, place)
    else:
        for name, record in source.files.items():
            check_digest(place if not name else place.with_suffix(f".{name}"), record)
        lines = [f"{len(source.files)} files of the model: the export's own by SHA-256"]
    ends = f"{len(config.input)} inputs, {len(config.output)} outputs"
    return [f"{source.name}/{CONFIG}: {ends}, max_batch_size {config.max_batch_size}", *lines]


def explain(job: Job) -> str:
    source = job.source
    signature = source.signatures[job.signature]
    tensor = signature.inputs[0]
    value = next(iter(job.feeds.values()))
    kind = {"string": "object", "bool": "bool"}.get(tensor.dtype, f"np.{tensor.dtype}")
    batched = is_batched(signature)
    together = f"Up to {LARGEST_BATCH} requests of one shape are answered together."
    head = binary_body(job.feeds)[1]
    return EXPLAINED.format(
        name=source.name,
        version=source.version,
        signature=job.signature,
        batching=together if batched else "A call takes the whole batch: max_batch_size is 0.",
        image="24.12" if source.format == "saved_model" else "25.06",
        note=NOTE if source.format == "saved_model" else "",
        head=head,
        shape=value.shape if value.ndim > 1 else (*value.shape, 1),
        dtype=kind,
        datatype=DTYPES[tensor.dtype].removeprefix("TYPE_").replace("STRING", "BYTES"),
        input=tensor.name,
        output=signature.outputs[0].name,
    )
