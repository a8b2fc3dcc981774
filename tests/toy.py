"""A toy: a classifier with a config of its own, a model of three ops and a task, none of which the package knows.

That it exports, verifies, predicts and reports shows what a new task must bring, and that nothing else need change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from visionport.config import Config, FixedShape, Normalization
from visionport.config.lineage import TF2
from visionport.inputs import pictures
from visionport.ops import nn
from visionport.verification.checks import compare_tensors

MARK = "toy classifier"

# ---------------------------------------------------------------- config


@dataclass(frozen=True, kw_only=True)
class Toy:
    num_classes: int
    resizer: FixedShape


def find_config(path) -> Path:
    return Path(path) / TF2.config_name if Path(path).is_dir() else Path(path)


def claims(request) -> bool:
    file = find_config(request.path)
    return file.is_file() and file.read_text().startswith(MARK)


def read(request) -> Config:
    file = find_config(request.path)
    classes = int(file.read_text().split()[-1])
    return Config(
        path=file,
        model=Toy(num_classes=classes, resizer=FixedShape(height=32, width=32)),
        family="toy",
        task="toy",
        architecture="toy",
        lineage=TF2,
        num_classes=classes,
        text=file.read_text(),
        labels={i: f"kind {i}" for i in range(1, classes + 1)},
    )


# ---------------------------------------------------------------- model


def normalization(toy: Toy) -> Normalization:
    return Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))


def predict(toy: Toy, s, images, true_shapes=None) -> dict:
    x = tf.nn.relu(nn.bias(s / "conv", nn.conv(s / "conv", images, stride=2)))
    return {"logits": nn.dense(s / "head", tf.reduce_mean(x, (1, 2)), out=toy.num_classes)}


def postprocess(toy: Toy, s, prediction: dict, images, true_shapes) -> dict:
    return {"logits": prediction["logits"], "probs": tf.nn.softmax(prediction["logits"])}


def exported(config: Config, outputs: dict) -> dict:
    return outputs


def reading(config: Config) -> dict:
    return {}


def names(toy: Toy) -> dict[str, str]:
    return {"conv": "model/conv", "head": "model/head"}


def known_unread(toy: Toy):
    return lambda key: False


# ---------------------------------------------------------------- task


@dataclass(frozen=True, kw_only=True)
class ToyTask:
    name: str = "toy"
    noun: str = "kinds"
    fields: Mapping[str, Any] = field(default_factory=lambda: {"kind": str, "score": float})
    metric: None = None
    outputs: tuple[str, ...] = ("probs",)

    def examples(self, paths, size):
        return pictures.load(paths, size)

    def answer(self, outputs, reading, extent, row=0):
        return {name: value[row] for name, value in outputs.items()}

    def compare(self, artifact, picture, source, found, *, tolerance, by_design="", moved=None):
        return compare_tensors(artifact, picture, source, found, sorted(source), tolerance=tolerance, moved=moved)

    def record(self, answer, labels, size, min_score) -> dict[str, Any]:
        best = int(np.argmax(answer["probs"]))
        return {"kind": labels.get(best + 1), "score": round(float(answer["probs"][best]), 6)}

    def describe(self, answer, labels) -> str:
        return str(self.record(answer, labels, (0, 0), 0)["kind"])

    def draw(self, picture, answer, labels, min_score):
        image = Image.fromarray(picture).copy()
        ImageDraw.Draw(image).text((2, 2), self.describe(answer, labels))
        return image

    def print_lines(self, read, names) -> str:
        return f"print({read('probs')}[0].argmax())\n"


TASK = ToyTask()
