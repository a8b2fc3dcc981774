"""Calls in a library of functions, replaced by the body of the function where that is called from one place alone."""

from collections import Counter
from collections.abc import Collection, Iterator

from visionport.graph import edit
from visionport.graph.calls import CALLS


def inline_once(functions: dict, roots: Collection[str]) -> None:
    """Puts functions that one call alone names in place of that call; and drops them. functions: name -> FunctionDef.

    A loader then makes one function of two, without the arguments of the second, which are as many as the variables.
    roots: functions that are called from elsewhere.
    """
    counts = Counter(name for function in functions.values() for name in called_by(function))
    for function in [*functions.values()]:
        while calls := [n for n in function.node_def if n.op in CALLS and may_go(n, functions, counts, roots)]:
            for call in calls:
                put(functions.pop(call.attr["f"].func.name), call, function)


def may_go(call, functions, counts: Counter, roots: Collection[str]) -> bool:
    name = call.attr["f"].func.name
    known = name in functions and counts[name] == 1 and name not in roots
    return known and not any(n.op in LOOPS for n in functions[name].node_def)


LOOPS = ("Enter", "RefEnter")  # v1 loops, whose frames have names of their own


def called_by(function) -> Iterator[str]:
    """The functions that a FunctionDef's nodes name, each as often as it is named."""
    for node in function.node_def:
        for value in node.attr.values():
            kind = value.WhichOneof("value")
            if kind == "func":
                yield value.func.name
            elif kind == "list":
                yield from (f.name for f in value.list.func)


def put(called, call, function) -> None:
    """The nodes of `called` instead of `call` in `function`; they keep their names where these are free."""
    taken = {n.name for n in function.node_def} | {a.name for a in function.signature.input_arg}
    names = {n.name: free(n.name, call.name, taken) for n in called.node_def}
    data = [i for i in call.input if not i.startswith("^")]
    before = [i for i in call.input if i.startswith("^")]
    arguments = {a.name: i for a, i in zip(called.signature.input_arg, data, strict=True)}

    def outer(name: str) -> str:
        node, colon, rest = name.removeprefix("^").partition(":")
        if node in arguments:
            return f"^{edit.base(arguments[node])}" if name.startswith("^") else arguments[node]
        return f"{'^' * name.startswith('^')}{names[node]}{colon}{rest}"

    outputs = [outer(called.ret[a.name]) for a in called.signature.output_arg]
    # In the signature's order: a protobuf's map has another one in each process.
    controls = [f"^{names[called.control_ret[key]]}" for key in called.signature.control_output]
    results = {f"{call.name}:output:{i}": [end] for i, end in enumerate(outputs)} | {f"^{call.name}": controls}
    for node in called.node_def:
        node.name = names[node.name]
        node.input[:] = [outer(i) for i in node.input] + (before if not node.input else [])
    kept = [n for n in function.node_def if n.name != call.name]
    for node in kept:
        ends = [end for given in node.input for end in results.get(given, [given])]
        node.input[:] = [e for e in ends if e[0] != "^"] + sorted({e for e in ends if e[0] == "^"})
    for key, end in [*function.ret.items()]:
        function.ret[key] = results.get(end, [end])[0]
    ends = [key for key in function.signature.control_output if function.control_ret[key] == call.name]
    for key in ends:
        del function.control_ret[key]
        function.signature.control_output.remove(key)
        for control in controls:
            function.control_ret[control[1:]] = control[1:]
            function.signature.control_output.append(control[1:])
    nodes = [*called.node_def, *kept]
    del function.node_def[:]
    function.node_def.extend(nodes)


def free(name: str, prefix: str, taken: set[str]) -> str:
    """That name, or one that is not taken; it is taken then."""
    while name in taken:
        name = f"{prefix}/{name}"
    taken.add(name)
    return name
