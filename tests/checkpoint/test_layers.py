"""Keras's numbers of a functional model's layers: by distance from the outputs, then as a walk from them meets them."""

from visionport.checkpoint.layers import UPSAMPLING, Layers


def pyramid(upsampling):
    """A small feature pyramid: two levels, each smoothed, and one above."""
    layers = Layers()
    laterals = [layers.layer(f"lateral_{n}", f"input_{n}") for n in (3, 4)]
    merged = layers.op(layers.op(laterals[1], count=upsampling), laterals[0])
    smooth = [layers.layer("smooth_3", merged), layers.layer("smooth_4", laterals[1])]
    coarser = [layers.layer("coarser_5", smooth[1])]
    for n in (6, 7):
        coarser.append(layers.layer(f"coarser_{n}", layers.op(coarser[-1])))
    return layers.order([*smooth, *coarser])


def test_the_farthest_from_the_outputs_comes_first():
    assert pyramid(UPSAMPLING) == [
        "lateral_4",
        "smooth_4",
        "coarser_5",
        "lateral_3",
        "coarser_6",
        "smooth_3",
        "coarser_7",
    ]


def test_operations_without_weights_count():
    layers = Layers()
    near, far = layers.layer("near", "x"), layers.layer("far", "x")
    layers.op(near, layers.op(far))
    assert layers.order([layers.op(near, layers.op(far))]) == ["far", "near"]


def test_layers_of_one_distance_are_numbered_as_the_outputs_reach_them():
    layers = Layers()
    a, b = layers.layer("a", "x"), layers.layer("b", "x")
    assert layers.order([layers.op(b, a)]) == ["b", "a"]
    assert layers.numbered([a, b]) == {"a": "layer_with_weights-0", "b": "layer_with_weights-1"}


def test_what_no_output_needs_has_no_number():
    layers = Layers()
    layers.layer("unused", layers.layer("used", "x"))
    assert layers.order(["used"]) == ["used"]


def test_a_convolution_has_its_batch_norm_and_activation():
    layers = Layers()
    out = layers.conv_bn("conv", "x", "hard_swish")
    assert layers.order([out]) == ["conv", "conv/BatchNorm"]
    assert len(layers.weightless) == 4
