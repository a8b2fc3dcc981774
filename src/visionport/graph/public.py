"""`visionport.freeze`: any TensorFlow model to one file of constants, or to a SavedModel with some variables left."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport import staging
from visionport.checkpoint.selection import Selection
from visionport.errors import OptionError
from visionport.filetypes import check_name
from visionport.graph.freeze import GraphRequest, write_graph
from visionport.graph.freeze import freeze as freeze_graph


@dataclass(frozen=True, kw_only=True)
class Freezing:
    """What was written. variables: how many became constants, or, in a SavedModel, how many are left."""

    out: Path
    variables: int
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.outputs:
            return f"{self.out}  {self.variables} variables"
        ends = f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"
        return f"{self.out}  {ends}; {self.variables} variables frozen"


def freeze(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    checkpoint: str | os.PathLike | None = None,
    tags: Sequence[str] | None = None,
    signature: str | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    optimize: bool = False,
    unfrozen: bool = False,
    freeze: Sequence[str] = (),
    keep: Sequence[str] = (),
    overwrite: bool = False,
    allow_unsafe_ops: bool = False,
) -> Freezing:
    """Writes one graph of constants, as `visionport freeze` does; or a SavedModel, where variables stay.

    source: a SavedModel's folder, or a graph as .pb, .pbtxt or .meta; checkpoint: a graph's. out: a file, .pb or
    .pbtxt; a new directory with `unfrozen`, `freeze` or `keep`. tags, signature: of a SavedModel. inputs, outputs:
    nodes to feed and to keep; the signature's by default. names: {node: another name}. constants: {node,
    or key of the signature: the value that it is fixed to}; what that decides goes. optimize: constants are folded.
    unfrozen: all variables stay. freeze, keep: regular expressions over variables' names, see `visionport freeze
    --help`. allow_unsafe_ops: ops that read files or do something else outside of the graph may run and be in what is
    written, of a file that you trust.

    Raises VisionportError, and then writes nothing.
    """
    selection = Selection(freeze=tuple(freeze), keep=tuple(keep))
    selection.check()
    request = GraphRequest(
        source=Path(source),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        tags=tags or None,
        signature=signature,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        names=dict(names or {}),
        constants=dict(constants or {}),
        allow_unsafe_ops=allow_unsafe_ops,
    )
    out = Path(out)
    for path in (*request.files, out):
        check_name(path)
    if unfrozen or selection:
        from visionport.graph import unfreeze

        if optimize or overwrite:
            raise OptionError(
                "--optimize and --overwrite are for frozen graphs: leave them out where a SavedModel is written "
                "(--unfrozen, --freeze, --keep)."
            )
        return Freezing(out=out, variables=unfreeze.unfreeze(request, out, selection=selection))
    staging.check_file(out, overwrite=overwrite, inputs=request.files)
    frozen = freeze_graph(request, optimize=optimize)
    write_graph(frozen.graph, out, overwrite=overwrite, inputs=request.files)
    return Freezing(out=out, variables=frozen.variables, inputs=frozen.inputs, outputs=frozen.outputs)
