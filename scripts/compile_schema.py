"""Compile src/visionport/config/pipeline/od.proto to od.binpb beside it (needs the dev extra: grpcio-tools)."""

import argparse
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
SCHEMA = SOURCE / "visionport" / "config" / "pipeline" / "od.proto"


def compile_schema(target: Path) -> None:
    """Write the FileDescriptorSet of od.proto to `target`."""
    from grpc_tools import protoc

    if protoc.main(["protoc", f"--proto_path={SOURCE}", f"--descriptor_set_out={target}", str(SCHEMA)]):
        sys.exit(f"{SCHEMA} does not compile: see above")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=SCHEMA.with_suffix(".binpb"), help="default: od.binpb beside od.proto"
    )
    compile_schema(parser.parse_args().out)
