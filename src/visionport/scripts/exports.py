"""What the four exporting scripts share: their flags, the call, and the command it stands for."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from visionport.errors import OptionError, UnsupportedError
from visionport.options import Options
from visionport.scripts.flags import Flag, is_full, print_command

CONFIG = Flag(name="pipeline_config_path", required=True, help="pipeline.config that the checkpoint was trained with.")
OUTPUT = Flag(name="output_directory", required=True, help="Where to write; other files in it stay.")
OVERRIDE = Flag(name="config_override", default="", help="Config text merged into the config.")
PREFIX = Flag(name="trained_checkpoint_prefix", required=True, help="Checkpoint prefix, such as DIR/model.ckpt-200000.")
FOLDER = Flag(name="trained_checkpoint_dir", required=True, help="Checkpoint directory, or a checkpoint's prefix.")
MAX_DETECTIONS = Flag(name="max_detections", default=10, kind=int, help="Detections that the TFLite op gives.")

# (flags, what the second default of export_inference_graph is)
SIDE_INPUTS = {
    "use_side_inputs": "Side inputs, as Context R-CNN's. Not supported.",
    "side_input_shapes": "Their shapes.",
    "side_input_types": "Their types.",
    "side_input_names": "Their names.",
}

# Options -> `visionport export`'s own, where the name is not the same with dashes.
SPELLED = {"formats": "--format", "inputs": "--input", "images": "--image"}


def side_inputs(default: str | None) -> list[Flag]:
    flags = [Flag(name=n, default=default, help=h) for n, h in SIDE_INPUTS.items() if n != "use_side_inputs"]
    return [Flag(name="use_side_inputs", default=False, kind=bool, help=SIDE_INPUTS["use_side_inputs"]), *flags]


def refuse_side_inputs(flags) -> None:
    if flags.use_side_inputs:
        raise UnsupportedError(
            "--use_side_inputs: models with side inputs (Context R-CNN) are not supported; see docs/support.md. "
            "Leave it out for other models."
        )


def export(flags, checkpoint: str, *, extras: Sequence[Any] = (), **options) -> None:
    """Prints the `visionport export` that it is, exports, and prints what was written, as that command does."""
    from visionport.commands.export import run_export

    config = flags.pipeline_config_path
    if not Path(config).exists():
        raise OptionError(f"--pipeline_config_path={config}: no such file.")
    chosen = Options(
        config=Path(config),
        checkpoint=Path(checkpoint),
        out=Path(flags.output_directory),
        config_override=flags.config_override,
        merge=is_full(flags.output_directory),
        **options,
    )
    print_command("export", words(chosen))
    run_export(chosen, quiet=False, verbose=False, extras=extras)


def words(options: Options) -> list[tuple[str, Any]]:
    """The options that are not as by default, as the command line has them."""
    found = []
    for field in fields(options):
        value = getattr(options, field.name)
        name = SPELLED.get(field.name, f"--{field.name.replace('_', '-')}")
        if value == field.default:
            continue
        if value is False:
            name, value = f"--no-{name[2:]}", True
        found.append((name, ",".join(map(str, value)) if isinstance(value, tuple) else value))
    return found
