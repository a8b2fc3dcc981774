"""Which file goes to which reader."""

from visionport.config.model import Config


def read_config(path, override: str = "", labels=None, keypoint_label_map=None) -> Config:
    """The config in a file or folder; `override` is merged into it; `labels` names a label map.

    keypoint_label_map: the label map with the keypoints of a CenterNet, in place of the one that the config names.

    Raises ConfigError (unreadable, misspelt, contradictory) and UnsupportedError (cannot be built).
    """
    from visionport.config.pipeline import read as pipeline

    return pipeline.read(path, override, labels, keypoint_label_map)
