"""How Keras numbers the layers of a functional model: `layer_with_weights-N` in its checkpoints.

The order is not that of their making: Keras sorts layers by their distance from the outputs, the farthest first, and
those of one distance as a walk from the outputs, depth first, meets them. Operations without weights, such as a sum or
an activation, are layers too, without a number of their own, so that they must be counted to know the distance.
"""

from collections.abc import Iterable


class Layers:
    """The layers of a functional model by name, and what each takes."""

    def __init__(self):
        self.inputs: dict[str, tuple[str, ...]] = {}
        self.weightless: set[str] = set()

    def layer(self, name: str, *inputs: str) -> str:
        """A layer with weights."""
        self.inputs[name] = inputs
        return name

    def op(self, *inputs: str, count: int = 1) -> str:
        """`count` operations without weights, one behind the other."""
        for _ in range(count):
            name = f"op {len(self.inputs)}"
            self.weightless.add(name)
            inputs = (self.layer(name, *inputs),)
        return inputs[0]

    def conv_bn(self, name: str, x: str, activation: str = "none") -> str:
        """A convolution, its batch norm as `name / BatchNorm`, an activation."""
        x = self.layer(f"{name}/BatchNorm", self.layer(name, x))
        return self.op(x, count=OPS.get(activation, 1))

    def order(self, outputs: Iterable[str]) -> list[str]:
        """The layers with weights, as Keras numbers them; outputs: in the order of their keys in the model's dict."""
        met: dict[str, int] = {}
        finished: list[str] = []

        def walk(name: str) -> None:
            if name not in met:
                met[name] = len(met)
                for source in self.inputs.get(name, ()):
                    walk(source)
                finished.append(name)

        for name in outputs:
            walk(name)
        distance = dict.fromkeys(met, 0)
        for name in reversed(finished):
            for source in self.inputs.get(name, ()):
                distance[source] = max(distance[source], distance[name] + 1)
        ordered = sorted(met, key=lambda name: (-distance[name], met[name]))
        return [name for name in ordered if name in self.inputs and name not in self.weightless]

    def numbered(self, outputs: Iterable[str]) -> dict[str, str]:
        """{layer: its path} of the layers with weights."""
        return {name: f"layer_with_weights-{i}" for i, name in enumerate(self.order(outputs))}


# Operations of an activation, where it is not one.
OPS = {"none": 0, "hard_swish": 4}

# Operations of the reference's nearest-neighbour upsampling: it asks for the shape, takes a dimension of it, then
# reshapes, tiles and reshapes.
UPSAMPLING = 5
