"""Compile the .proto files of src/visionport to .binpb beside them (needs the dev extra: grpcio-tools)."""

import argparse
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
SCHEMAS = sorted(SOURCE.glob("visionport/**/*.proto"))


def compile_schema(schema: Path, target: Path) -> None:
    """Write the FileDescriptorSet of `schema` to `target`."""
    from grpc_tools import protoc

    if protoc.main(["protoc", f"--proto_path={SOURCE}", f"--descriptor_set_out={target}", str(schema)]):
        sys.exit(f"{schema} does not compile: see above")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="a folder for all of them; default: beside each")
    out = parser.parse_args().out
    for schema in SCHEMAS:
        compile_schema(schema, (out or schema.parent) / schema.with_suffix(".binpb").name)
