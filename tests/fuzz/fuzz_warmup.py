"""Warm-up requests as a server reads them when it loads a SavedModel."""

from pathlib import Path

import numpy as np

from visionport.serving import warmup
from visionport.serving.messages import to_array

SUFFIX = ""
LOGS = [
    warmup.log_of("model", "serving_default", {"x": np.arange(6, dtype=np.uint8).reshape(1, 2, 3)}),
    warmup.log_of("model", "text", {"x": np.array([b"\xff\xd8\xff", b""], object)}),
]
SEEDS = [b"".join(warmup.records(LOGS)), b"".join(warmup.records(LOGS[1:]))]


def read(path: Path) -> None:
    for log in warmup.read_logs(path, path.parent):
        for tensor in log.predict_log.request.inputs.values():
            to_array(tensor, 1 << 20)
