"""`freeze_graph.py` of TensorFlow: a graph of constants of a SavedModel, or of a graph and a checkpoint."""

from pathlib import Path

from visionport import staging
from visionport.apart import go_apart
from visionport.errors import InputError, OptionError
from visionport.graph import freeze, sources
from visionport.scripts.flags import ALLOW_UNSAFE_OPS, Flag, call, print_command, start

FLAGS = (
    Flag(name="input_graph", default="", help="GraphDef file."),
    Flag(name="input_saver", default="", help="SaverDef file. Not needed: variables are restored by name."),
    Flag(name="input_checkpoint", default="", help="Checkpoint prefix."),
    Flag(name="checkpoint_version", default=2, kind=int, help="Of the checkpoint, 1 or 2. Both are read."),
    Flag(name="output_graph", default="", required=True, help="File to write."),
    Flag(name="input_binary", default=False, kind=bool, help="The graph is binary, not text."),
    Flag(name="output_binary", default=True, kind=bool, help="Not the original's, but in many notes."),
    Flag(name="output_node_names", default="", help="Nodes to keep, separated by commas."),
    Flag(name="restore_op_name", default="save/restore_all", help="Without effect."),
    Flag(name="filename_tensor_name", default="save/Const:0", help="Without effect."),
    Flag(name="clear_devices", default=True, kind=bool, help="Remove the devices of nodes."),
    Flag(name="initializer_nodes", default="", help="Nodes to run before, separated by commas."),
    Flag(name="variable_names_whitelist", default="", help="Freeze these variables alone."),
    Flag(name="variable_names_denylist", default="", help="Freeze all but these variables."),
    Flag(name="input_meta_graph", default="", help="MetaGraphDef file."),
    Flag(name="input_saved_model_dir", default="", help="SavedModel."),
    ALLOW_UNSAFE_OPS,
    Flag(name="saved_model_tags", default="serve", help="Its tag set, separated by commas."),
)
SOURCES = ("input_graph", "input_meta_graph", "input_saved_model_dir")


def listed(text: str) -> tuple[str, ...]:
    return tuple(v.strip() for v in text.split(",") if v.strip())


def run(flags) -> None:
    given = [name for name in SOURCES if getattr(flags, name)]
    if len(given) != 1:
        raise OptionError(
            f"one of {', '.join(f'--{n}' for n in SOURCES)} must be given; {' and '.join(given) or 'none'} is."
        )
    if not flags.output_binary and not flags.output_graph.endswith(".pbtxt"):
        raise OptionError(f"--output_binary=false: name the file .pbtxt for text, not {flags.output_graph}.")
    if flags.checkpoint_version not in (1, 2):
        raise OptionError(f"--checkpoint_version={flags.checkpoint_version}: 1 or 2.")
    (kind,) = given
    go_apart(Path(flags.output_graph))
    source, saved = Path(getattr(flags, kind)), kind == "input_saved_model_dir"
    if flags.input_saver and not Path(flags.input_saver).is_file():
        raise InputError(f"--input_saver={flags.input_saver}: no such file.")
    if not saved and source.is_file():
        sources.check_is_binary(source, flags.input_binary)
    allowed, denied = listed(flags.variable_names_whitelist), listed(flags.variable_names_denylist)
    checkpoint = None if saved else flags.input_checkpoint or None  # a SavedModel has its own, as in the original
    tags = listed(flags.saved_model_tags) if saved else None
    print_command(
        "freeze",
        [
            ("--checkpoint", checkpoint),
            ("--tag", ",".join(tags or ())),
            ("--output", ",".join(listed(flags.output_node_names))),
            ("--allow-unsafe-ops", flags.allow_unsafe_ops),
            ("--overwrite", Path(flags.output_graph).exists()),
            ("--out", flags.output_graph),
            (str(source), True),
        ],
    )
    request = freeze.GraphRequest(
        source=source,
        checkpoint=Path(checkpoint) if checkpoint else None,
        tags=tags,
        outputs=listed(flags.output_node_names),
        initializers=listed(flags.initializer_nodes),
        allow_unsafe_ops=flags.allow_unsafe_ops,
    )
    staging.check_file(Path(flags.output_graph), overwrite=True, inputs=request.files)
    frozen = freeze.freeze(
        request,
        clear_devices=flags.clear_devices,
        frozen=lambda name: (not allowed or name in allowed) and name not in denied,
    )
    freeze.write_graph(frozen.graph, Path(flags.output_graph), overwrite=True, inputs=request.files)
    print(f"{flags.output_graph}  {frozen.variables} variables frozen")


def main(arguments=None) -> None:
    call("Freezes a TensorFlow graph.", FLAGS, run, arguments)


if __name__ == "__main__":
    start(main)
