"""Compile the .proto files of src/visionport to .binpb beside them (needs the dev extra: grpcio-tools)."""

import argparse
import re
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
FILES = sorted(SOURCE.glob("visionport/**/*.proto"))
IMPORTED = {name for file in FILES for name in re.findall(r'^import "(.*)";$', file.read_text(), re.MULTILINE)}
SCHEMAS = [file for file in FILES if str(file.relative_to(SOURCE)) not in IMPORTED]


def compile_schema(schema: Path, target: Path) -> None:
    """Write the FileDescriptorSet of `schema`, and of what it imports, to `target`."""
    from grpc_tools import protoc

    folders = (SOURCE, Path(protoc.__file__).with_name("_proto"))  # the second has Google's own, which others import
    options = [*(f"--proto_path={folder}" for folder in folders), "--include_imports", f"--descriptor_set_out={target}"]
    if protoc.main(["protoc", *options, str(schema)]):
        sys.exit(f"{schema} does not compile: see above")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="a folder for all of them; default: beside each")
    out = parser.parse_args().out
    for schema in SCHEMAS:
        compile_schema(schema, (out or schema.parent) / schema.with_suffix(".binpb").name)
