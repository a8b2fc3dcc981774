"""What `inspect` takes for the outputs of a graph that says nothing of itself."""

import pytest
import tensorflow as tf

from visionport.inspection.graph import likely_outputs

v1 = tf.compat.v1


def network(image, training=None):
    kernel = v1.get_variable("kernel", [12, 3])
    moving = v1.get_variable("moving", [3], trainable=False)
    hidden = tf.reshape(image, [-1, 12])
    logits = tf.matmul(hidden, kernel, name="logits")
    if training is not None:
        mean = tf.reduce_mean(logits, 0)
        v1.assign_sub(moving, (moving - mean) * 0.1, name="AssignMovingAvg")
    return logits


def training_graph(*, twice: bool):
    """A classifier with labels, loss, optimiser, summaries and saver; twice: with boxes beside its scores."""
    with tf.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, [None, 2, 2, 3], "image")
        labels = v1.placeholder(tf.int64, [None], "labels")
        training = v1.placeholder(tf.bool, [], "training")
        logits = network(image, training)
        tf.nn.softmax(logits, name="scores")
        if twice:
            tf.tanh(logits, name="boxes")
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), name="loss")
        v1.summary.scalar("loss_1", loss)
        v1.summary.histogram("values", tf.abs(logits))
        v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
        v1.train.Saver()
    return graph.as_graph_def()


@pytest.mark.parametrize(("twice", "names"), [(False, ["scores"]), (True, ["scores", "boxes"])])
def test_of_a_training_graph_what_the_picture_alone_gives(twice, names):
    assert likely_outputs(training_graph(twice=twice)) == names


def test_of_another_graph_what_nothing_reads():
    with tf.Graph().as_default() as graph:
        a, b = (v1.placeholder(tf.float32, [None, 4], name) for name in "ab")
        tf.add(a, b, "sum")
        tf.multiply(a, b, "product")
    assert likely_outputs(graph.as_graph_def()) == ["sum", "product"]
