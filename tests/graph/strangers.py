"""Graphs and SavedModels as a stranger may send them, and the command line that is given them."""

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import tensorflow as tf
from click.testing import CliRunner

from visionport.cli import main

v1 = tf.compat.v1


def visionport(*arguments: object) -> tuple[int, str]:
    """(exit status, what was printed)."""
    with mock.patch("visionport.cli.mute_tensorflow"):  # it takes the process's standard error away
        done = CliRunner().invoke(main, [str(a) for a in arguments])
    return done.exit_code, done.output


def build_graph(build: Callable):
    """The GraphDef of "out", the double of "x" after what `build` gives: operations, or tensors that it needs."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [1, 4], name="x")
        with tf.control_dependencies([e for e in (build(x) or []) if e is not None]):
            tf.multiply(x, 2.0, name="out")
    return graph.as_graph_def()


def write_graph(path: Path, graph) -> Path:
    path.write_bytes(graph.SerializeToString())
    return path


def save_v1(folder: Path, build: Callable, main_op: Callable | None = None, **more) -> Path:
    """A SavedModel of TF1 with a variable, that doubles "x"; main_op makes what initialises it."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [1, 4], name="x")
        variable = v1.get_variable("v", initializer=[1.0, 2.0, 3.0, 4.0], use_resource=True)
        with tf.control_dependencies([e for e in (build(x) or []) if e is not None]):
            out = tf.multiply(x, 2.0 + 0 * variable, name="out")
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def({"x": info(x)}, {"out": info(out)}, "predict")
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature},
            main_op=main_op() if main_op else None,
            **more,
        )
        builder.save()
    return folder


def save_v2(folder: Path, run: Callable, **parts) -> Path:
    """A SavedModel of TF2 whose signature is `run`; parts: what it holds besides."""
    module = tf.Module()
    for name, part in parts.items():
        setattr(module, name, part)
    module.run = tf.function(run, input_signature=[tf.TensorSpec([1, 4], tf.float32, "x")])
    tf.saved_model.save(module, str(folder), signatures=module.run)
    return folder
