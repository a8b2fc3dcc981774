"""What the exporting scripts share: their flags, the call, and the command it stands for."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from visionport.errors import OptionError
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
    "use_side_inputs": "Shapes of side inputs, as Context R-CNN's, are given; else they are the config's.",
    "side_input_shapes": "Their shapes, such as 1,2000,2057/1.",
    "side_input_types": "Their types, such as tf.float32,tf.int32 or float,int.",
    "side_input_names": "Their names, such as context_features,valid_context_size.",
}

# Options -> `visionport export`'s own, where the name is not the same with dashes.
SPELLED = {"formats": "--format", "inputs": "--input", "images": "--image"}
# Those that are given once for each of their values.
REPEATED = {"side_inputs": "--side-input", "config_files": "--config-file", "params_override": "--params-override"}


def side_inputs(default: str | None) -> list[Flag]:
    flags = [Flag(name=n, default=default, help=h) for n, h in SIDE_INPUTS.items() if n != "use_side_inputs"]
    return [Flag(name="use_side_inputs", default=False, kind=bool, help=SIDE_INPUTS["use_side_inputs"]), *flags]


def given_side_inputs(flags) -> tuple[str, ...]:
    """`visionport export --side-input`'s values."""
    if not flags.use_side_inputs:
        return ()
    names = ("names", "types", "shapes")
    given = [getattr(flags, f"side_input_{n}") or "" for n in names]
    missing = [f"--side_input_{n}" for n, text in zip(names, given, strict=True) if not text]
    if missing:
        raise OptionError(f"--use_side_inputs needs {' and '.join(missing)}.")
    parts = [text.split("/" if n == "shapes" else ",") for n, text in zip(names, given, strict=True)]
    if len({len(p) for p in parts}) > 1:
        counts = ", ".join(f"{len(p)} {n}" for n, p in zip(names, parts, strict=True))
        raise OptionError(f"--side_input_names, _types and _shapes (with / between) are of as many inputs: {counts}.")
    return tuple(":".join(v.strip() for v in one) for one in zip(*parts, strict=True))


def export(flags, checkpoint: str, *, extras: Sequence[Any] = (), **options) -> None:
    """Prints the `visionport export` that it is, exports, and prints what was written, as that command does."""
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
    carry_out(chosen, extras)


def carry_out(chosen: Options, extras: Sequence[Any] = ()) -> None:
    """The same of options that are made."""
    from visionport.commands.export import run_export

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
        if field.name in REPEATED:
            found += [(REPEATED[field.name], one) for one in value]
            continue
        if value is False:
            name, value = f"--no-{name[2:]}", True
        found.append((name, ",".join(map(str, value)) if isinstance(value, tuple) else value))
    return found
