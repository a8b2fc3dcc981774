"""`export_saved_model.py` of TF Official Vision: saved_model/, checkpoint/ and params.yaml."""

import shutil
from functools import partial
from pathlib import Path

from visionport.config.lineage import OFFICIAL
from visionport.errors import OptionError
from visionport.exporter import Extra
from visionport.options import Options
from visionport.scripts import exports, official
from visionport.scripts.flags import Flag, call, is_full, start

FLAGS = (
    official.EXPERIMENT,
    official.EXPORT_DIR,
    official.CHECKPOINT,
    official.CONFIG_FILE,
    official.OVERRIDE,
    official.BATCH,
    Flag(
        name="input_type", default="image_tensor", help="image_tensor, image_bytes, tf_example, serve_examples, tflite."
    ),
    official.IMAGE_SIZE,
    Flag(name="export_checkpoint_subdir", default="checkpoint", help="Folder of the checkpoint; empty: none is kept."),
    Flag(name="export_saved_model_subdir", default="saved_model", help="Folder of the SavedModel; empty: export_dir."),
    Flag(name="log_model_flops_and_params", default=False, kind=bool, help="model_flops.txt and model_params.txt."),
    Flag(name="input_name", help="Of the signatures' input. Default: inputs."),
    Flag(name="function_keys", default="", help="TYPE:SIGNATURE,...: signatures of several input types by name."),
    Flag(name="add_tpu_function_alias", default=False, kind=bool, help="The alias tpu_candidate, for TPU serving."),
)
CHECKPOINT = OFFICIAL.checkpoint_place.partition("/")[0]


def run(flags) -> None:
    subdir = flags.export_checkpoint_subdir
    moved = Extra(names=(subdir.partition("/")[0] or CHECKPOINT,), write=partial(move_checkpoint, subdir=subdir))
    exports.carry_out(
        Options(
            **official.requested(flags, official.image_size(flags.input_image_size)),
            checkpoint=Path(flags.checkpoint_path),
            out=Path(flags.export_dir),
            inputs=function_keys(flags.function_keys) or (flags.input_type,),
            input_name=flags.input_name or "",
            batch=flags.batch_size,
            saved_model_dir=flags.export_saved_model_subdir or ".",
            flops=flags.log_model_flops_and_params,
            tpu_alias=flags.add_tpu_function_alias,
            merge=is_full(flags.export_dir),
        ),
        [] if subdir == CHECKPOINT else [moved],
    )


def function_keys(text: str) -> tuple[str, ...]:
    """`tf_example:serving_default,image_tensor:other` as values of --input."""
    pairs = tuple(pair.strip() for pair in text.split(",") if pair.strip())
    for pair in pairs:
        name, colon, signature = pair.partition(":")
        if not (name and colon and signature):
            raise OptionError(f"--function_keys={text}: TYPE:SIGNATURE,... such as tf_example:serving_default.")
    return pairs


def move_checkpoint(model, options: Options, folder: Path, *, subdir: str) -> None:
    """Into another folder of the export; without a name it goes."""
    if not subdir:
        shutil.rmtree(folder / CHECKPOINT)
        return
    if (target := folder / subdir).exists() or ".." in target.parts:
        raise OptionError(f"--export_checkpoint_subdir={subdir}: a new folder in --export_dir.")
    target.parent.mkdir(parents=True, exist_ok=True)
    (folder / CHECKPOINT).rename(target)


def main(arguments=None) -> None:
    call("Exports a model of TF Official Vision.", FLAGS, run, arguments)


if __name__ == "__main__":
    start(main)
