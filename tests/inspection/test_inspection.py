"""What `inspect` says of a checkpoint: which of its tensors are the model's, and how that is shown."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from places import SHARED

from visionport.checkpoint.open import open_checkpoint
from visionport.checkpoint.read import VALUE
from visionport.inspection.checkpoint import describe_checkpoint, render, shape_text
from visionport.progress import size_text, time_text

REAL = sorted(path for path in SHARED.glob("real/tf*") if path.is_dir() and "damaged" not in path.name)


def save(prefix, tensors):
    data = [tf.constant(value) for value in tensors.values()]
    slices = [""] * len(data)
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=list(tensors), shape_and_slices=slices, tensors=data)
    return prefix


@pytest.fixture
def prefix(tmp_path):
    weights = {"conv/kernel": np.ones([3, 3, 8, 16], np.float32), "conv/bias": np.ones(16, np.float32)}
    slots = {f"{name}/Momentum": value for name, value in weights.items()}
    others = {"conv/bias/ExponentialMovingAverage": weights["conv/bias"], "global_step": np.int64(1200)}
    return save(tmp_path / "model.ckpt-1200", weights | slots | others)


@pytest.mark.parametrize(
    ("key", "group"),
    [
        (f"model/gamma/.OPTIMIZER_SLOT/optimizer/momentum{VALUE}", "slot"),
        (f"model/gamma/.OPTIMIZER_SLOT/optimizer/m{VALUE}", "slot"),
        (f"model/gamma/.OPTIMIZER_SLOT/optimizer/average{VALUE}", "average"),
        (f"global_step{VALUE}", "step"),
        (f"model/step{VALUE}", "model"),
        (f"model/optimizer/average{VALUE}", "model"),
        ("model/.ATTRIBUTES/OBJECT_CONFIG_JSON", "step"),
    ],
)
def test_tf2_classify(tmp_path, key, group):
    assert open_checkpoint(save(tmp_path / "ckpt-1", {f"x{VALUE}": 0.0, key: [1.0]})).classify(key) == group


def test_tf1_classify(tmp_path):
    w, scalar = [1.0, 2.0], 0.0
    tensors = {
        "model": {
            "X/w": w,
            "Adam": w,
            "Net/Momentum": w,
            "X/act_quant/min": scalar,
            "Y/global_step": w,
            "X/w/Ftrl": [1.0],
        },
        "slot": {"X/w/Momentum": w, "X/w/RMSProp": w, "X/w/RMSProp_1": w, "X/w/Adam_1": w, "Adam/Adam": w},
        "average": {"X/w/ExponentialMovingAverage": w},
        "step": {
            "global_step": 1,
            "beta1_power": scalar,
            "optimizer/beta2_power_1": scalar,
            "fake_quantization_step": 1,
            "X/act_quant/X/act_quant/min/biased": scalar,
            "X/act_quant/X/act_quant/max/local_step": scalar,
        },
    }
    everything = {name: value for group in tensors.values() for name, value in group.items()}
    groups = open_checkpoint(save(tmp_path / "model.ckpt-1", everything)).groups()
    assert {group: set(keys) for group, keys in groups.items()} == {group: set(t) for group, t in tensors.items()}


@pytest.mark.parametrize("folder", REAL, ids=[path.name for path in REAL])
def test_real_indexes(folder):
    checkpoint = open_checkpoint(folder)
    description = describe_checkpoint(checkpoint)
    assert (description["kind"], description["step"], description["complete"]) == (folder.name[:3], None, False)
    assert all(checkpoint.key_of(key) == key for key in checkpoint)
    last = {tensor["name"].removesuffix(VALUE).split("/")[-1] for tensor in description["variables"]}
    known = {"kernel", "bias", "weights", "biases", "gamma", "beta", "moving_mean", "moving_variance", "min", "max"}
    known |= {f"{kind}_{name}" for kind in ("depthwise", "pointwise") for name in ("kernel", "weights")}
    assert last <= known | {"bifpn_combine_weights"}


def shown(description):
    from rich.console import Console

    console = Console(width=100)
    with console.capture() as captured:
        console.print(render(description))
    return captured.get()


def test_description(prefix):
    description = describe_checkpoint(open_checkpoint(prefix))
    assert json.loads(json.dumps(description)) == description
    assert description["prefix"] == str(prefix)
    assert (description["kind"], description["step"], description["complete"]) == ("tf1", 1200, True)
    assert description["parameters"] == 3 * 3 * 8 * 16 + 16
    assert description["bytes"] == 4 * description["parameters"]
    assert description["variables"] == [
        {"name": "conv/bias", "shape": [16], "dtype": "float32", "size": 64},
        {"name": "conv/kernel", "shape": [3, 3, 8, 16], "dtype": "float32", "size": 4608},
    ]
    assert [t["name"] for t in description["optimizer_slots"]] == ["conv/bias/Momentum", "conv/kernel/Momentum"]
    assert [t["name"] for t in description["moving_averages"]] == ["conv/bias/ExponentialMovingAverage"]
    assert [t["name"] for t in description["counters"]] == ["global_step"]
    assert description["warnings"] == []


def test_rendered(prefix):
    text = shown(describe_checkpoint(open_checkpoint(prefix)))
    for part in (
        "TF1",
        "1,200",
        "1,168 (4.67 kB)",
        "3x3x8x16",
        "2 optimizer slots",
        "conv/kernel/Momentum",
        "1 moving",
    ):
        assert part in text
    assert "cannot be read" not in text


def test_without_data(prefix):
    Path(f"{prefix}.data-00000-of-00001").unlink()
    description = describe_checkpoint(open_checkpoint(prefix))
    assert (description["step"], description["complete"]) == (None, False)
    text = shown(description)
    for part in ("unknown", "values", "Note: model.ckpt-1200.data-00000-of-00001 is missing"):
        assert part in text


def test_names_are_not_markup(prefix):
    description = describe_checkpoint(open_checkpoint(prefix))
    description["variables"][0]["name"] = "conv[red]/bias[/]"
    assert "conv[red]/bias[/]" in shown(description)


def test_texts():
    assert [size_text(size) for size in (0, 999, 1023, 999_600, 5 << 20, 3 << 30)] == [
        "0 bytes",
        "999 bytes",
        "1.02 kB",
        "1 MB",
        "5.24 MB",
        "3.2 GB",
    ]
    assert [time_text(s) for s in (0.00085, 0.0123, 1.25, 0)] == ["0.85 ms", "12.3 ms", "1.25 s", "0 ms"]
    assert [shape_text(shape) for shape in ((), (3,), (3, 4))] == ["scalar", "3", "3x4"]
