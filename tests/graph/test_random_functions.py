"""Random functions, inlined and frozen: the answers before and after are the same.

Each is made of nested calls, If, While and arithmetic, with variables, by a fixed seed.
"""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from visionport.graph import calls, edit
from visionport.graph.freeze import GraphRequest, freeze, trim_graph
from visionport.graph.function import freeze_function
from visionport.graph.sources import open_source

v1 = tf.compat.v1
SEEDS = range(6)
DEPTH = 2
X = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)  # four inputs [2, 3]


class Program(tf.Module):
    """float32 [2, 3] -> {"a": float32 [2, 3], "b": float32 [2], "calls": int32}, by a seed."""

    def __init__(self, seed, kinds=("call", "branch", "loop", "arithmetic"), constant=False):
        super().__init__()
        self.random = np.random.default_rng(seed)
        self.kinds = kinds
        self.constant = constant
        self.made = []
        self.used = set()
        body = self.block(DEPTH)
        half = self.variable()

        def run(x):
            y, count = body(x, tf.constant(0))
            return {"a": y, "b": tf.reduce_sum(tf.matmul(y, half), 1), "calls": count}

        self.run = tf.function(run, [tf.TensorSpec((2, 3), tf.float32, "x")], autograph=False)

    def variable(self):
        value: Any = np.float32(self.random.normal(size=(3, 3)) / 2)
        self.made.append(value if self.constant else tf.Variable(value, name=f"w{len(self.made)}"))
        return self.made[-1]

    def block(self, depth):
        """(x, count) -> (x, count): a few steps, each of a kind by chance."""
        # Every kind once at the outermost level, so that no seed is without one.
        kinds = list(self.kinds) if depth == DEPTH else list(self.random.choice(self.kinds, 2))
        steps = [getattr(self, kind if depth else "arithmetic")(depth) for kind in kinds]

        def run(x, count):
            for step in steps:
                x, count = step(x, count)
            return x, count

        return run

    def call(self, depth):
        """A function of its own, called twice."""
        inner = tf.function(self.block(depth - 1), autograph=False)
        self.used.add("call")

        def run(x, count):
            y, count = inner(x, count)
            z, count = inner(tf.tanh(y), count)
            return y - z, count

        return run

    def branch(self, depth):
        first, second, w = self.block(depth - 1), self.block(depth - 1), self.variable()
        self.used.add("branch")

        def run(x, count):
            positive = tf.reduce_sum(tf.matmul(x, w)) > 0
            return tf.cond(positive, lambda: first(x, count + 1), lambda: second(x, count + 100))

        return run

    def loop(self, depth):
        body, w = self.block(depth - 1), self.variable()
        times = int(self.random.integers(1, 4))
        self.used.add("loop")

        def run(x, count):
            def step(i, x, count):
                y, count = body(x, count + 1)
                return i + 1, tf.tanh(tf.matmul(y, w)), count

            return tf.while_loop(lambda i, x, count: i < times, step, (0, x, count))[1:]

        return run

    def arithmetic(self, depth):
        w, shift = self.variable(), float(self.random.normal())

        def run(x, count):
            values, places = tf.math.top_k(x, 3)  # ops of several outputs, of two names and of one
            low, high = tf.split(values + tf.cast(places, tf.float32) / 4, 2)
            return tf.tanh(tf.matmul(tf.concat([high, low], 0), w) + shift), count + 10

        return run


def evaluate(graph, names, source="x:0"):
    """The outputs for each of X."""
    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(graph, name="")
        return [session.run([f"{n}:0" for n in names], {source: x}) for x in X]


def assert_equal(found, program):
    for values, x in zip(found, X, strict=True):
        expected = program.run(x)
        for value, key in zip(values, ("a", "b", "calls"), strict=True):
            np.testing.assert_allclose(value, expected[key], rtol=1e-5, atol=1e-6)


def ops(graph):
    return {n.op for n in graph.node} | {n.op for f in graph.library.function for n in f.node_def}


@pytest.mark.parametrize("seed", SEEDS)
def test_frozen_for_a_file(seed):
    """A concrete function's graph, as an export writes it."""
    program = Program(seed)
    function = program.run.get_concrete_function()
    assert {"PartitionedCall", "StatefulPartitionedCall"} & ops(function.graph.as_graph_def())
    graph = freeze_function(function, {"x": "image"})
    assert not ops(graph) & {*edit.CALLS, *edit.BRANCHES, *edit.VARIABLES}
    assert_equal(evaluate(graph, ["a", "b", "calls"], "image:0"), program)


def save(seed, folder):
    program = Program(seed)
    assert program.used == {"call", "branch", "loop"}
    tf.saved_model.save(program, str(folder), program.run)
    return program


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_a_saved_model_frozen(seed, tmp_path):
    program = save(10 + seed, tmp_path)
    frozen = freeze(GraphRequest(source=tmp_path))
    assert (frozen.inputs, {*frozen.outputs}) == (("x",), {"a", "b", "calls"})
    assert frozen.variables == len(program.made)
    assert not ops(frozen.graph) & {*edit.CALLS, *edit.BRANCHES, *edit.VARIABLES}
    assert_equal(evaluate(frozen.graph, ["a", "b", "calls"]), program)


def test_a_saved_model_trimmed(tmp_path):
    """Inlined, its variables and its control flow as they are."""
    program = save(12, tmp_path)
    source = open_source(tmp_path)
    trimmed = trim_graph(source, lower=False)
    graph = trimmed.graph
    assert {"StatelessWhile", "While"} & ops(graph)
    values = source.values(list(edit.variables(graph).values()))
    assert len(values) == len(program.made)
    nodes = {key: node for node, key in trimmed.names.items()}
    assert {nodes[key] for key in ("a", "b", "calls")} == set(trimmed.kept)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(graph, name="")
        handles = {name: session.graph.get_tensor_by_name(f"{name}:0") for name in values}
        session.run([tf.raw_ops.AssignVariableOp(resource=handles[n], value=v) for n, v in values.items()])
        ends = [f"{nodes[key]}:0" for key in ("a", "b", "calls")]
        found = [session.run(ends, {f"{nodes['x']}:0": x}) for x in X]
    assert_equal(found, program)


@pytest.mark.parametrize("seed", SEEDS)
def test_calls_inlined(seed):
    """Ours alone, which takes what TensorFlow's optimizer leaves: calls in calls, no functions left in the graph."""
    program = Program(20 + seed, kinds=("call", "arithmetic"), constant=True)
    function = program.run.get_concrete_function()
    graph = function.graph.as_graph_def()
    assert set(edit.CALLS) & ops(graph)
    names = [t.op.name for t in function.outputs]
    calls.inline(graph)
    assert not {n.op for n in graph.node} & set(edit.CALLS)
    del graph.library.function[:]
    assert_equal(evaluate(graph, names), program)
