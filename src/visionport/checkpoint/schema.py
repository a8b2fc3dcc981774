"""The messages of checkpoint.proto, in a descriptor pool of their own: TensorFlow's are not imported for them."""

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

__all__ = ["DecodeError", "message_class"]


@cache
def message_class(name: str) -> Any:
    """The protobuf class of a message of checkpoint.proto."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"visionport.checkpoint.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    files = descriptor_pb2.FileDescriptorSet.FromString(Path(__file__).with_name("checkpoint.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool
