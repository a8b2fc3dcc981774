"""SavedModels: their saved_model.pb, without variables beside it; a sample is loaded as an artifact of an export is."""

import contextlib
import random
import tempfile
import zlib
from pathlib import Path

SUFFIX = ".pb"
SEEDS: tuple[bytes, ...] = ()  # those of the corpus


def read(path: Path) -> None:
    from graphs import IMPORTED, read_source

    from visionport.errors import ArtifactError
    from visionport.formats.saved_model import FORMAT, SavedModelRunner

    data = path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "saved_model.pb").write_bytes(data)
        FORMAT.check_foreign(Path(folder))
        if zlib.crc32(data) % IMPORTED == 1:
            with contextlib.suppress(ArtifactError):  # there are no variables
                SavedModelRunner(Path(folder))
        read_source(Path(folder), path)


def mutate(data: bytes, rng: random.Random) -> bytes:
    from graphs import mutate_as
    from tensorflow.core.protobuf import saved_model_pb2

    return mutate_as(saved_model_pb2.SavedModel, data, rng)
