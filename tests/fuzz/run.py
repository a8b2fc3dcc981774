"""Fuzzes the project's readers, and prints how their inputs ended: `python tests/fuzz/run.py [NAME ...]`.

Status 1 where an input ended in a traceback, a crash or a hang. With --only the reader is asked in this very process,
so that a traceback is seen, or a debugger can be used.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fuzzing import HERE, NAMES, Child, filled, make_input, reader, seeds, table

KEPT = HERE.parent.parent / "build" / "fuzz"
FIGURES = HERE.parent.parent / "docs" / "security.md"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--inputs", type=int, default=10_000, help="of each reader; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="decides the inputs; default: %(default)s")
    parser.add_argument(
        "--kept", type=Path, default=KEPT, help="folder for inputs that are findings; default: %(default)s"
    )
    parser.add_argument("--only", type=int, metavar="NUMBER", help="ask the first reader for this one input, here")
    parser.add_argument("--write", action="store_true", help="write the table's rows into docs/security.md")
    asked = parser.parse_args()
    names = asked.names or NAMES
    if unknown := {*names} - {*NAMES}:
        parser.error(f"no reader {sorted(unknown)[0]!r}; there are: {', '.join(NAMES)}")
    if asked.only is not None:
        ask_one(names[0], asked.seed, asked.only)
        return 0
    tallies = []
    with Child(asked.kept) as child:
        for name in names:
            tallies.append(child.run(name, asked.inputs, asked.seed))
            for finding in tallies[-1].findings:
                print(f"{name}: {finding}\n", file=sys.stderr, flush=True)
    print(table(tallies))
    if asked.write:
        FIGURES.write_text(filled(FIGURES.read_text(), tallies))
    return int(any(tally.findings for tally in tallies))


def ask_one(name: str, seed: int, number: int) -> None:
    data = make_input(name, seed, number, seeds(name))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{reader(name).SUFFIX}"
        path.write_bytes(data)
        print(f"{data[:2000]!r}", file=sys.stderr)
        print(reader(name).read(path))


if __name__ == "__main__":
    sys.exit(main())
