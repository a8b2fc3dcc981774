"""Inception v3 (Szegedy et al. 2016): slim's inception_v3.py."""

from visionport.config import Hyperparams
from visionport.models.backbones import inception

# (layer, stride, padding)
STEM = (
    ("Conv2d_1a_3x3", 2, "VALID"),
    ("Conv2d_2a_3x3", 1, "VALID"),
    ("Conv2d_2b_3x3", 1, "SAME"),
    ("MaxPool_3a_3x3", 2, "VALID"),
    ("Conv2d_3b_1x1", 1, "VALID"),
    ("Conv2d_4a_3x3", 1, "VALID"),
    ("MaxPool_5a_3x3", 2, "VALID"),
)
AVERAGE: inception.Branch = ("AvgPool_0a_3x3", "Conv2d_0b_1x1")
MIXED_5: tuple[inception.Branch, ...] = (
    ("Conv2d_0a_1x1",),
    ("Conv2d_0a_1x1", "Conv2d_0b_5x5"),
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_0c_3x3"),
    AVERAGE,
)
MIXED_6: tuple[inception.Branch, ...] = (
    ("Conv2d_0a_1x1",),
    ("Conv2d_0a_1x1", "Conv2d_0b_1x7", "Conv2d_0c_7x1"),
    ("Conv2d_0a_1x1", "Conv2d_0b_7x1", "Conv2d_0c_1x7", "Conv2d_0d_7x1", "Conv2d_0e_1x7"),
    AVERAGE,
)


def mixed_7(tall: str) -> tuple[inception.Branch, ...]:
    """Ends in splits; tall: the scope of the first one's 3x1."""
    return (
        ("Conv2d_0a_1x1",),
        ("Conv2d_0a_1x1", ("Conv2d_0b_1x3", tall)),
        ("Conv2d_0a_1x1", "Conv2d_0b_3x3", ("Conv2d_0c_1x3", "Conv2d_0d_3x1")),
        AVERAGE,
    )


# Names as they are in slim, slips included: "Conv_1_0c_5x5", two "0b", and 3x3 kernels called "1a_1x1".
BLOCKS: dict[str, tuple[inception.Branch, ...]] = {
    "Mixed_5b": MIXED_5,
    "Mixed_5c": (MIXED_5[0], ("Conv2d_0b_1x1", "Conv_1_0c_5x5"), *MIXED_5[2:]),
    "Mixed_5d": MIXED_5,
    "Mixed_6a": (
        ("Conv2d_1a_1x1",),
        ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_1a_1x1"),
        ("MaxPool_1a_3x3",),
    ),
    "Mixed_6b": MIXED_6,
    "Mixed_6c": MIXED_6,
    "Mixed_6d": MIXED_6,
    "Mixed_6e": MIXED_6,
    "Mixed_7a": (
        ("Conv2d_0a_1x1", "Conv2d_1a_3x3"),
        ("Conv2d_0a_1x1", "Conv2d_0b_1x7", "Conv2d_0c_7x1", "Conv2d_1a_3x3"),
        ("MaxPool_1a_3x3",),
    ),
    "Mixed_7b": mixed_7("Conv2d_0b_3x1"),
    "Mixed_7c": mixed_7("Conv2d_0c_3x1"),
}


def forward(s, x, hyper: Hyperparams):
    """The outputs of the blocks by name. s: the scope "InceptionV3"; x: float32 [b, h, w, 3] in [-1, 1]."""
    for name, stride, padding in STEM:
        x = inception.layer(s, x, name, hyper, stride, padding)
    points = {}
    for name, branches in BLOCKS.items():
        x = points[name] = inception.mixed(s / name, x, branches, hyper, "VALID")
    return points
