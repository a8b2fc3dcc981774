"""Canonical names to a checkpoint's own: the table of an architecture, and a TF1 checkpoint's moving averages."""

import re
from collections.abc import Callable, Mapping

# Canonical (slim) leaf names -> Keras's.
LEAVES = {
    "weights": "kernel",
    "biases": "bias",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
}


def averages(checkpoint) -> Callable[[str], str]:
    """TF1 name -> the name of its moving average, where it has one."""

    def locate(name: str) -> str:
        average = f"{name}/ExponentialMovingAverage"
        return average if average in checkpoint.entries else name

    return locate


def locator(names: Mapping[str, str]) -> Callable[[str], str | None]:
    """Canonical name -> object path, by the table of scopes; "*" in a scope stands for a depth, "/**" for all below."""
    below = {k.removesuffix("**"): v for k, v in names.items() if k.endswith("/**")}

    def locate(name: str) -> str | None:
        scope, _, leaf = name.rpartition("/")
        path = names.get(scope) or names.get(re.sub(r"_1x1_\d+", "_1x1_*", scope))
        path = path or next((f"{v}/{scope.removeprefix(k)}" for k, v in below.items() if scope.startswith(k)), None)
        return f"{path}/{LEAVES.get(leaf, leaf)}" if path else None

    return locate
