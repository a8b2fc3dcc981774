"""Float operations and parameters of Official Vision's models against the reference's own count."""

import json
import math

import pytest
from official_models import NAMES, exported_checkpoint, variants
from sampling import sampled

from visionport.graph import flops

FILE = NAMES / "flops.json"
COUNTED = json.loads(FILE.read_text()) if FILE.exists() else {}
# The reference's NMS, which is unrolled over 90 classes, needs 0.12 billion: much, beside networks as small as these.
APART = {"retinanet_mobile_coco": 0.08, "maskrcnn_mobilenet_coco": 0.015}


def model_of(label: str):
    """(config, dry parameters, architecture) of a row of flops.json."""
    from visionport.config import read_config
    from visionport.models.build import meta_of, params_for

    variant = variants().get(label, {"experiment": label, "override": ""})
    size = tuple(COUNTED[label]["input"][-3:-1])
    override = variant["override"] or ""
    config = read_config(experiment=variant["experiment"], params_override=override, image_size=size, batch=1)
    return config, params_for(config, exported_checkpoint(label), dry=True), meta_of(config)


@pytest.mark.skipif(not COUNTED, reason="needs the shared data")
@pytest.mark.parametrize("label", sampled(sorted(COUNTED), 3) or [""])
def test_counts_are_the_references(label):
    import tensorflow as tf

    config, params, meta = model_of(label)
    scope = params.scope()
    with tf.__internal__.FuncGraph("count").as_default() as graph:
        images = tf.raw_ops.Placeholder(dtype=tf.float32, shape=COUNTED[label]["input"])
        shapes = tf.raw_ops.Placeholder(dtype=tf.int32, shape=(1, 3))
        prediction = meta.predict(config.model, scope, images, shapes)
        outputs = meta.exported(config, meta.postprocess(config.model, scope, prediction, images, shapes))
    layers = flops.count_layers(graph, tf.nest.flatten(outputs), norms=config.synchronised_norms)
    assert sum(layer.flops for layer in layers) == pytest.approx(COUNTED[label]["flops"], rel=APART.get(label, 0.01))
    shapes = [params.checkpoint.entries[key].shape for key in params.keys.values()]
    assert sum(map(math.prod, shapes)) == COUNTED[label]["params"]


def count(function, *shapes, norms=False) -> dict[str, int]:
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    graph = tf.function(function, autograph=False).get_concrete_function(*specs).graph
    return {layer.name: layer.flops for layer in flops.count_layers(graph, graph.outputs, norms=norms)}


def test_each_op_by_hand():
    import tensorflow as tf

    def network(x, w, deep):
        y = tf.nn.conv2d(x, w, 2, "SAME", name="conv")
        y = tf.nn.relu(y + 1.0)
        z = tf.nn.depthwise_conv2d(y, deep, [1, 1, 1, 1], "SAME", name="deep")
        return tf.einsum("bhwc,bhwd->bcd", z, z, name="pairs")

    found = count(network, (1, 8, 8, 3), (3, 3, 3, 5), (3, 3, 5, 1))
    conv, addition, deep = 2 * 16 * 5 * 27, 16 * 5, 2 * 16 * 5 * 9
    assert list(found.values()) == [conv + addition, deep, 2 * 25 * 16]
    assert next(iter(found)) == "conv"


def test_what_no_output_needs_does_not_count():
    def network(x, w):
        import tensorflow as tf

        tf.matmul(x, w)
        return tf.nn.softmax(x)

    assert list(count(network, (2, 3), (3, 4)).values()) == [5 * 6]


def test_open_shapes_count_nothing():
    import tensorflow as tf

    assert count(tf.matmul, (None, 3), (3, 4)) == {}


def test_the_references_files():
    layers = [
        flops.Layer(name="backbone/conv_1", flops=1_500_000),
        flops.Layer(name="backbone/conv_2", flops=2_500_000_000),
        flops.Layer(name="head", flops=12),
    ]
    lines = flops.flops_text(layers).splitlines()
    assert lines[2:] == [
        "_TFProfRoot (--/2.50b flops)",
        "  backbone (0/2.50b flops)",
        "    backbone/conv_2 (2.50b/2.50b flops)",
        "    backbone/conv_1 (1.50m/1.50m flops)",
        "  head (12/12 flops)",
    ]
    text = flops.params_text({"conv/weights": (3, 3, 2, 4), "conv/biases": (4,)})
    assert text == "conv/weights:0 [3, 3, 2, 4]\nconv/biases:0 [4]\n\nTotal params: 76\n"
