"""Mean average precision on the digits' validation pictures, by the script beside them."""

import re
import subprocess
import sys

from places import SHARED

EVALUATE = SHARED / "demo" / "evaluate.py"


def mean_average_precision(artifact):
    done = subprocess.run([sys.executable, EVALUATE, artifact], capture_output=True, text=True, check=True)
    (value,) = re.findall(r"mAP@0.5 ([\d.]+)", done.stdout)
    return float(value)
