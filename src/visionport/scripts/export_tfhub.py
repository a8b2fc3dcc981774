"""`export_tfhub.py` of TF Official Vision: a classifier as a SavedModel that TensorFlow Hub loads as a layer."""

from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import UnsupportedError
from visionport.formats.saved_model import DEFAULT, PARTS
from visionport.scripts import official
from visionport.scripts.flags import Flag, call, is_full, print_command, start
from visionport.staging import check_room, check_target, staged

FLAGS = (
    official.EXPERIMENT,
    official.EXPORT_DIR,
    official.CHECKPOINT,
    official.CONFIG_FILE,
    official.OVERRIDE,
    Flag(name="batch_size", kind=int, help="Without effect, as in the original: a batch may have any size."),
    official.IMAGE_SIZE,
    Flag(name="skip_logits_layer", default=False, kind=bool, help="Give the feature vector in place of the logits."),
)
# What the original's Keras model calls its output.
OUTPUTS = {False: "dense", True: "global_average_pooling2d"}


def run(flags) -> None:
    from visionport.checkpoint.averages import choose_weights
    from visionport.checkpoint.open import open_checkpoint
    from visionport.config import read_config
    from visionport.models.build import build

    request = official.requested(flags, official.image_size(flags.input_image_size))
    config = read_config(**request)
    if config.family != "classification":
        raise UnsupportedError(
            f"{config.architecture} is no classifier; the original exports these alone. Take export_saved_model."
        )
    out, merge = Path(flags.export_dir), is_full(flags.export_dir)
    check_target(out, overwrite=False, merge=merge)
    check_room(out, PARTS)
    given = [("--experiment", request["experiment"]), *(("--config-file", f) for f in request["config_files"])]
    given += [("--params-override", flags.params_override), ("--image-size", ",".join(map(str, request["image_size"])))]
    ends = [("--checkpoint", flags.checkpoint_path), ("--out", out), ("--input", "tflite"), ("--saved-model-dir", ".")]
    print_command("export", [*given, *ends])
    model = build(config, choose_weights(open_checkpoint(Path(flags.checkpoint_path))))
    with staged(out, overwrite=False, merge=merge) as folder:
        layer = write_layer(model, folder, features=flags.skip_logits_layer)
        agree(layer, folder)
    print(f"{out}  {OUTPUTS[flags.skip_logits_layer]}, the same as the checkpoint's")


def write_layer(model, folder: Path, *, features: bool):
    """Writes the SavedModel; returns its function, float32 [b, h, w, 3], normalised -> [b, c]."""
    import tensorflow as tf

    from visionport.graph.saved_model import name_by_content

    config, scope = model.config.model, model.params.scope()

    def layer(images):
        prediction = model.predict(images, None)
        return (
            model.meta.feature_vector(config, scope, prediction["feature_maps"]) if features else prediction["logits"]
        )

    root: Any = tf.Module()
    for name, variable in model.params.variables.items():
        root._track_trackable(variable, name)
    spec = tf.TensorSpec((None, *model.input_size), tf.float32, name="inputs")
    root.__call__ = tf.function(layer, input_signature=[spec], autograph=False)
    # What a reusable SavedModel has besides, for hub.KerasLayer.
    root.all_variables = [*model.params.variables.values()]
    root.regularization_losses = []
    named = tf.function(lambda inputs: {OUTPUTS[features]: root.__call__(inputs)}, input_signature=[spec])
    tf.saved_model.save(root, str(folder), signatures={DEFAULT: named.get_concrete_function()})
    name_by_content(folder / "fingerprint.pb")
    return root.__call__


def agree(layer, folder: Path) -> None:
    """Loads the SavedModel and compares it with the model, on noise."""
    import tensorflow as tf

    shape = [2, *layer.input_signature[0].shape[1:]]
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))
    loaded: Any = tf.saved_model.load(str(folder))
    np.testing.assert_allclose(loaded(images), layer(images), rtol=1e-4, atol=1e-4)


def main(arguments=None) -> None:
    call("Exports a classifier of TF Official Vision for TensorFlow Hub.", FLAGS, run, arguments)


if __name__ == "__main__":
    start(main)
