"""What a call of SavedModels takes, called in turn in one process, so that a machine's other work is shared by all.

    python benchmarks/turns.py exported/saved_model frozen/saved_model reference/saved_model --calls 25

Each is called by its signature serving_default with the same noise of 480x640, uint8 [1, 480, 640, 3]. Prints for each
the least and the median CPU milliseconds of a call (user + system, all threads) and both as ratios to the last one's.
"""

import argparse
import os
import time
from pathlib import Path

WARMING = 2  # calls that are not counted: TensorFlow optimises the graph in them


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = parse()
    import numpy as np
    import tensorflow as tf

    picture = tf.constant(np.random.default_rng(0).integers(0, 256, (1, 480, 640, 3), np.uint8))
    models = [tf.saved_model.load(str(path)) for path in options.models]
    functions = [model.signatures["serving_default"] for model in models]
    took: list[list[float]] = [[] for _ in functions]
    for turn in range(WARMING + options.calls):
        for function, times in zip(functions, took, strict=True):
            (name,) = function.structured_input_signature[1]
            begun = time.process_time()
            for value in function(**{name: picture}).values():
                value.numpy()
            if turn >= WARMING:
                times.append(1e3 * (time.process_time() - begun))
    print("| SavedModel | least, ms | median, ms | to the last, least | to the last, median |\n|---|---|---|---|---|")
    last = took[-1]
    for path, times in zip(options.models, took, strict=True):
        least, median = min(times), np.median(times)
        print(f"| {path} | {least:.1f} | {median:.1f} | {least / min(last):.3f} | {median / np.median(last):.3f} |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="SAVEDMODEL", help="folders with saved_model.pb")
    parser.add_argument("--calls", type=int, default=25, metavar="N", help="turns that count; default: 25")
    return parser.parse_args()


if __name__ == "__main__":
    main()
