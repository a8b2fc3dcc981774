"""Inputs fixed to values, and what that decides: branches that are never taken go, and training with them.

Of TF1 a branch is a Switch whose one output is dead, and all that follows from it up to a Merge; of TF2 it is a
function that an If names. Dropout that keeps everything becomes what it was given.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError, OptionError, UnsupportedError
from visionport.graph import edit, effects
from visionport.inputs.arrays import read_array

SWITCHES, MERGES = ("Switch", "RefSwitch", "_SwitchN"), ("Merge", "RefMerge")
BRANCHES = {"If": "StatefulPartitionedCall", "StatelessIf": "PartitionedCall"}
BRANCHES |= {"Case": "StatefulPartitionedCall", "StatelessCase": "PartitionedCall"}
LOOPS = ("Enter", "RefEnter", "Exit", "RefExit", "NextIteration", "RefNextIteration", "LoopCond")
UNKNOWN = (*SWITCHES, *MERGES, *LOOPS, *edit.CALLS, *edit.BRANCHES, *edit.VARIABLES, "ReadVariableOp")


def parse_constants(texts: Iterable[str]) -> dict[str, Any]:
    """{node: value} of NAME=VALUE: a boolean, a number, a list in brackets or with commas, a text, or @FILE.npy."""
    return dict(parse_constant(text) for text in texts)


def files_of_constants(texts: Iterable[str]) -> list[Path]:
    """The files that they name."""
    values = (text.partition("=")[2] for text in texts)
    return [Path(value[1:]) for value in values if value.startswith("@")]


def parse_constant(text: str) -> tuple[str, Any]:
    import json

    name, equal, value = text.partition("=")
    if not equal or not name or not value:
        raise OptionError(f"--set {text}: NAME=VALUE, as is_training=false, keep_prob=1.0, sizes=[1,2] or x=@FILE.npy.")
    if value.startswith("@"):
        try:
            return name, read_array(Path(value[1:]))
        except (OSError, ValueError) as e:
            raise OptionError(f"--set {text}: {value[1:]} is no .npy file of numbers: {e}.") from None
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    try:
        return name, json.loads(value if value[0] == "[" or "," not in value else f"[{value}]")
    except ValueError:
        return name, value


def set_inputs(graph, constants: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
    """Puts constants in place of nodes. inputs: key -> tensor, of the signature, whose keys are names too.

    Raises OptionError for what is no node, or takes no such value.
    """
    tensors = {inputs.get(name, name): (name, value) for name, value in constants.items()}
    edit.known(graph, tensors, "--set")
    placed = edit.cut(graph, tensors)
    nodes = {n.name: n for n in graph.node}
    for tensor, (name, value) in tensors.items():
        make_constant(nodes[placed[tensor]], name.removesuffix(":0"), value)


def make_constant(node, name: str, value: Any) -> None:
    """Makes a placeholder a constant of its type and shape."""
    import tensorflow as tf

    dtype, shape = tf.as_dtype(node.attr["dtype"].type), node.attr["shape"].shape
    try:
        given = np.asarray(value)
        if dtype != tf.string and given.dtype.kind not in "biuf":
            raise ValueError("it is a text")
        if dtype == tf.bool and not np.isin(given, (0, 1)).all():
            raise ValueError("it is neither true nor false")
        made = given if dtype == tf.string else given.astype(dtype.as_numpy_dtype)
        if dtype.is_integer and not np.array_equal(made, given):
            raise ValueError("it is no whole number of that type")
        tensor = tf.make_tensor_proto(made, dtype)
    except (TypeError, ValueError, OverflowError) as e:
        raise OptionError(f"--set {name}={value}: {node.name} takes {dtype.name}; {e}.") from None
    wanted = tf.TensorShape(shape)
    if not wanted.is_compatible_with(made.shape):
        raise OptionError(f"--set {name}={value}: {node.name} takes the shape {wanted}, not {list(made.shape)}.")
    node.op = "Const"
    node.attr.clear()
    node.attr["dtype"].type = dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tensor)
    del node.input[:]


def drop_branches(graph, kept: Iterable[str]) -> bool:
    """Takes every branch that constants decide, and drops the others. Whether there was one.

    Raises OptionError where an output lies in one that is dropped.
    """
    decided = find_decided(graph)
    if not decided:
        return False
    dead = find_dead(graph, decided)
    lost = [name for name in kept if name in dead]
    if lost:
        raise OptionError(f"{', '.join(lost)}: in a branch that --set leaves out. Set another value, or other outputs.")
    replace_switches(graph, decided, dead)
    taken = {n.name: f"{n.name}/taken" for n in graph.node if n.op in BRANCHES and n.name in decided}
    for node in [n for n in graph.node if n.name in taken]:
        call_branch(node, decided[node.name])
    edit.rename(graph, taken)  # what it is inlined to has its name before its own: "cond/Identity" may be there already
    edit.keep(graph.node, lambda n: n.name not in dead)
    edit.needed(graph, kept)
    return True


def find_decided(graph) -> dict[str, Any]:
    """{switch or branch: the value that decides it}, of those that constants decide."""
    nodes = {n.name: n for n in graph.node}
    conditions = {}
    for node in graph.node:
        if node.op in SWITCHES or node.op in BRANCHES:
            conditions[node.name] = node.input[1 if node.op in SWITCHES else 0]
    constant: dict[str, bool] = {}
    wanted = {name: tensor for name, tensor in conditions.items() if is_constant(tensor, nodes, constant)}
    return evaluate(graph, wanted) if wanted else {}


def is_constant(name: str, nodes: Mapping[str, Any], found: dict[str, bool]) -> bool:
    """Does it depend on constants alone, by operations that give the same each time? found: what is known already."""
    from tensorflow.python.framework import op_def_registry

    left = [edit.base(name)]
    while left:
        node = nodes[left[-1]]
        if node.name in found:
            left.pop()
            continue
        definition = op_def_registry.get(node.op)
        bad = node.op in UNKNOWN or node.op.startswith("Placeholder") or definition is None or definition.is_stateful
        bad = bad or bool(effects.effect_of(node))
        sources = [] if bad else [edit.base(i) for i in node.input if i[0] != "^"]
        waiting = [s for s in sources if s not in found]
        if waiting and not bad:
            found_cycle = [s for s in waiting if s in left]
            if found_cycle:  # only loops have such, and these hold an op of UNKNOWN
                found[node.name] = False
            left += [s for s in waiting if s not in left]
            continue
        found[node.name] = not bad and all(found[s] for s in sources)
        left.pop()
    return found[edit.base(name)]


def evaluate(graph, tensors: Mapping[str, str]) -> dict[str, Any]:
    """The values of tensors that depend on constants alone."""
    import tensorflow as tf

    nodes = {n.name: n for n in graph.node}
    part, queue = type(graph)(versions=graph.versions), list({edit.base(t) for t in tensors.values()})
    for name in queue:  # grows while it is walked
        node = part.node.add()
        node.CopyFrom(nodes[name])
        node.input[:] = [i for i in node.input if i[0] != "^"]
        queue += {edit.base(i) for i in node.input} - set(queue)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        edit.import_graph(part)
        try:
            return session.run({k: edit.full_name(t) for k, t in tensors.items()})
        except tf.errors.OpError as e:
            raise InputError(f"what decides a branch cannot be computed: {edit.first_line(e)}.") from None


def find_dead(graph, decided: Mapping[str, Any]) -> set[str]:
    """Nodes that never run, since a switch before them goes the other way."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(edit.base(name), []).append(node)
    switches = {n.name for n in graph.node if n.op in SWITCHES} & decided.keys()
    tensors = dead_outputs(graph, decided)
    dead: set[str] = set()

    def is_dead(name: str) -> bool:
        return edit.base(name) in dead or (name[0] != "^" and edit.full_name(name) in tensors)

    queue = [n for s in sorted(switches) for n in readers.get(s, ())]
    loops = {n.name for n in graph.node if n.op in ("NextIteration", "RefNextIteration")}
    for node in queue:  # grows while it is walked
        if node.name in dead:
            continue
        data = [i for i in node.input if i[0] != "^"]
        if node.op in MERGES:  # waits for what orders it, dead or not
            gone = all(is_dead(i) for i in data if edit.base(i) not in loops)
        else:
            gone = any(map(is_dead, node.input))
        if gone:
            dead.add(node.name)
            queue += readers.get(node.name, ())
    return dead


def dead_outputs(graph, decided: Mapping[str, Any]) -> set[str]:
    """The tensors of decided switches that are never given."""
    found = set()
    for node in graph.node:
        if node.op in SWITCHES and node.name in decided:
            count = node.attr["num_outs"].i if node.op == "_SwitchN" else 2
            value = int(decided[node.name])
            taken = value if 0 <= value < count else count - 1
            found |= {f"{node.name}:{i}" for i in range(count) if i != taken}
    return found


def replace_switches(graph, decided: Mapping[str, Any], dead: set[str]) -> None:
    """Puts what a decided switch was given in its place, and what is alive in a merge's."""
    import tensorflow as tf

    through = {n.name: n.input[0] for n in graph.node if n.name in decided and n.op in SWITCHES}
    gone = dead_outputs(graph, decided)

    def is_gone(name: str) -> bool:
        return edit.base(name) in dead or (name[0] != "^" and edit.full_name(name) in gone)

    def resolve(name: str) -> str:
        while edit.base(name) in through:
            order = "^" if name[0] == "^" else ""
            source = through[edit.base(name)]
            name = order + (edit.base(source) if order else source)
        return name

    indices = {}
    for node in [n for n in graph.node if n.op in MERGES and n.name not in dead]:
        data = [i for i in node.input if i[0] != "^"]
        alive = [i for i in data if not is_gone(i)]
        node.input[:] = [*alive, *(i for i in node.input if i[0] == "^" and not is_gone(i))]
        node.attr["N"].i = len(alive)
        if len(alive) == 1 and len(data) > 1:
            indices[node.name] = data.index(alive[0])
            node.op = "Identity"
            node.attr.pop("N", None)
    constants = {}
    for name, index in indices.items():
        constant = graph.node.add(name=f"{name}/value_index", op="Const")
        constant.attr["dtype"].type = tf.int32.as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(index, tf.int32))
        constants[f"{name}:1"] = constant.name
    for node in graph.node:
        node.input[:] = [resolve(constants.get(i, i)) for i in node.input]
    edit.keep(graph.node, lambda n: n.name not in through)


def call_branch(node, value: Any) -> None:
    """Makes an If or a Case a call of the function that the value chooses."""
    if "then_branch" in node.attr:
        chosen = node.attr["then_branch" if np.all(value) and np.size(value) else "else_branch"].func
    else:
        functions = node.attr["branches"].list.func
        index = int(value)
        chosen = functions[index if 0 <= index < len(functions) else len(functions) - 1]
    attributes = {name: type(node.attr[name])() for name in ("Tin", "Tout")}
    for name, copy in attributes.items():
        copy.CopyFrom(node.attr[name])
    called = type(chosen)()
    called.CopyFrom(chosen)
    node.op = BRANCHES[node.op]
    node.attr.clear()
    node.attr["f"].func.CopyFrom(called)
    for name, copy in attributes.items():
        node.attr[name].CopyFrom(copy)
    del node.input[0]


# --- dropout that keeps everything ---

ADDS, COMPARES = ("Add", "AddV2"), ("GreaterEqual", "LessEqual", "Greater", "Less")


def drop_dropout(graph, kept: Iterable[str]) -> None:
    """Takes out multiplications by noise that is 1 everywhere: floor(1 + u), or u >= 0 with u from 0 to 1."""
    if not any(n.op == "RandomUniform" for n in graph.node):
        return
    nodes = {n.name: n for n in graph.node}
    shapes = static_shapes(graph)

    def bounds(name: str) -> tuple[float, float, bool] | None:
        """The least, the largest value, and whether the largest is never reached."""
        node = nodes[edit.base(name)]
        if node.op == "RandomUniform":
            return 0.0, 1.0, True
        if node.op == "Const":
            value = constant_of(node)
            if value is None or not value.size or value.dtype.kind not in "fiub":
                return None
            return float(value.min()), float(value.max()), False
        if node.op in ("Identity", "Cast"):
            return bounds(node.input[0])
        if node.op not in (*ADDS, "Sub", "Mul", "Floor", *COMPARES):
            return None
        sides = [bounds(i) for i in node.input if i[0] != "^"]
        known = [s for s in sides if s is not None]
        return combine(node.op, known) if len(known) == len(sides) else None

    def is_one(name: str) -> bool:
        found = bounds(name)
        return found is not None and found[0] == found[1] == 1.0

    def is_random(name: str) -> bool:
        node = nodes[edit.base(name)]
        inner = (*ADDS, "Sub", "Mul", "Floor", "Cast", "Identity", *COMPARES)
        return node.op == "RandomUniform" or (node.op in inner and any(map(is_random, node.input)))

    for node in graph.node:
        data = [i for i in node.input if i[0] != "^"]
        if node.op == "Mul":
            pairs = [(data[0], data[1]), (data[1], data[0])]
        elif node.op in ("Select", "SelectV2"):
            pairs = [(data[1], data[0])]
        else:
            continue
        for stays, noise in pairs:
            same = shapes.get(edit.full_name(stays)) == shapes.get(f"{node.name}:0") is not None
            if same and is_random(noise) and is_one(noise):
                node.op = "Identity"
                kind = node.attr["T"].type
                node.attr.clear()
                node.attr["T"].type = kind
                node.input[:] = [stays]
                break
    edit.needed(graph, kept)


def combine(op: str, sides: list) -> tuple[float, float, bool] | None:
    """The bounds of what an operation gives, of those of what it is given."""
    a, b = (sides * 2)[:2]
    if op in ADDS:
        return a[0] + b[0], a[1] + b[1], a[2] or b[2]
    if op == "Sub":
        return (a[0] - b[1], a[1] - b[0], a[2]) if not b[2] else None
    if op == "Mul":
        return (a[0] * b[0], a[1] * b[1], a[2] or b[2]) if min(a[0], b[0]) >= 0 else None
    if op == "Floor":
        low, high = np.floor(a[0]), np.ceil(a[1]) - 1 if a[2] else np.floor(a[1])
        return float(low), float(high), False
    always = {
        "GreaterEqual": a[0] >= b[1],
        "Greater": a[0] > b[1] or (a[0] >= b[1] and b[2]),
        "LessEqual": a[1] <= b[0],
        "Less": a[1] < b[0] or (a[1] <= b[0] and a[2]),
    }
    return (1.0, 1.0, False) if always[op] else (0.0, 1.0, False)


def constant_of(node) -> np.ndarray | None:
    """A constant's value; None for one that is yet to be filled."""
    import tensorflow as tf

    has_value = node.attr["value"].HasField("tensor")
    return np.asarray(tf.make_ndarray(node.attr["value"].tensor)) if has_value else None


def static_shapes(graph) -> dict[str, list[int | None]]:
    """{tensor: its shape} where the rank is known."""
    import tensorflow as tf

    with tf.Graph().as_default() as whole:
        edit.import_graph(graph)
    tensors = [t for op in whole.get_operations() for t in op.outputs]
    return {t.name: t.shape.as_list() for t in tensors if t.shape.rank is not None}


# --- what --set would lift ---


def advise_constants(graph) -> str:
    """ " Fix what decides it: --set NAME=false.": for the end of a refusal; "" where no input decides a branch."""
    nodes = {n.name: n for n in graph.node}
    found: list[str] = []
    for node in graph.node:
        if node.op not in SWITCHES and node.op not in BRANCHES:
            continue
        left, seen = [edit.base(node.input[1 if node.op in SWITCHES else 0])], set()
        while left:
            name = left.pop()
            if name in seen or name not in nodes:
                continue
            seen.add(name)
            if nodes[name].op.startswith("Placeholder"):
                found.append(name)
            elif nodes[name].op not in LOOPS:  # a loop's own condition
                left += [edit.base(i) for i in nodes[name].input if i[0] != "^"]
    names = sorted(set(found), key=found.index)
    return f" Fix what decides it: {' '.join(f'--set {n}=false' for n in names[:3])}." if names else ""


def check_references(graph, names: Iterable[str]) -> None:
    """Raises UnsupportedError for a node that takes a variable of TF1 by reference: it changes or tests it."""
    from tensorflow.python.framework import op_def_registry

    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            readers.setdefault(edit.base(name), []).append((node, position))
    for variable in names:
        left, seen = [variable], set()
        while left:
            for node, position in readers.get(left.pop(), ()):
                definition = op_def_registry.get(node.op)
                arguments = definition.input_arg if definition else ()
                if not arguments or node.name in seen or not arguments[min(position, len(arguments) - 1)].is_ref:
                    continue
                seen.add(node.name)
                if node.op not in edit.REFS and node.op != "RefIdentity":
                    raise UnsupportedError(
                        f"{node.name} ({node.op}) changes or tests the variable {variable}, which cannot be a constant "
                        f"then. Name outputs that do not need it.{advise_constants(graph)}"
                    )
                left.append(node.name)
