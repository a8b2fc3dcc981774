"""What the scripts of TF Official Vision share: their flags, and the config that these name."""

from typing import Any

from visionport.errors import OptionError
from visionport.scripts.flags import Flag

EXPERIMENT = Flag(name="experiment", help="Experiment, such as retinanet_resnetfpn_coco. Default: told by the files.")
CONFIG_FILE = Flag(name="config_file", repeated=True, help="YAML or JSON over the experiment's defaults; repeatable.")
OVERRIDE = Flag(name="params_override", default="", help="YAML, JSON, a.b=c or a file, over those.")
CHECKPOINT = Flag(name="checkpoint_path", required=True, help="Checkpoint prefix, or a folder of checkpoints.")
EXPORT_DIR = Flag(name="export_dir", required=True, help="Where to write; other files in it stay.")
BATCH = Flag(name="batch_size", kind=int, help="Images in a batch. Default: any.")
IMAGE_SIZE = Flag(
    name="input_image_size", default="224,224", help="HEIGHT,WIDTH of the network's input; of videos FRAMES before."
)


def requested(flags, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """What `read_config` and Options call what the flags name."""
    if not (flags.experiment or flags.config_file):
        raise OptionError("--experiment must be given, or a --config_file that tells it. Try --help.")
    return {
        "experiment": flags.experiment or None,
        "config_files": tuple(flags.config_file),
        "params_override": (flags.params_override,) if flags.params_override else (),
        "image_size": size,
    }


def image_size(text: str) -> tuple[int, int]:
    """(height, width); clips' frames, before these, are as many as are sampled from."""
    try:
        numbers = [int(v) for v in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or min(numbers) < 1:
        raise OptionError(f"--input_image_size={text}: HEIGHT,WIDTH such as 224,224.")
    height, width = numbers[-2:]
    return height, width
