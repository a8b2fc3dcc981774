"""Which file goes to which reader."""

from visionport.config.model import Config


def read_config(path, override: str = "", labels=None, keypoint_label_map=None) -> Config:
    """The config in a file or folder; `override` is merged into it; `labels` names a label map.

    keypoint_label_map: the label map with the keypoints of a CenterNet, in place of the one that the config names.

    Raises ConfigError (unreadable, misspelt, contradictory) and UnsupportedError (cannot be built).
    """
    for claims, read in READERS:
        if claims(path):
            return read(path, override=override, labels=labels, keypoint_label_map=keypoint_label_map)
    raise AssertionError("the last reader takes any path")


def read_pipeline(path, **how) -> Config:
    from visionport.config.pipeline.read import read

    return read(path, **how)


# (does it take the path?, reader), the first that does is asked.
READERS = [(lambda path: True, read_pipeline)]
