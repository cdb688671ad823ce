"""Values that must share one scale and zero point, because a kernel copies integers between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgekit.compress.quantize.borders import is_activation
from edgekit.compress.quantize.params import span
from edgekit.compress.quantize.statistics import Statistics
from edgekit.ir import Graph, QuantParams, Value, ops

#: Output scales that the runtimes' kernels demand, by the type that they compute in.
FIXED: dict[str, dict[type[ops.Op], QuantParams]] = {
    "int8": {
        ops.Softmax: QuantParams("int8", (1.0 / 256.0,), (-128,)),
        ops.Sigmoid: QuantParams("int8", (1.0 / 256.0,), (-128,)),
        ops.Tanh: QuantParams("int8", (1.0 / 128.0,), (0,)),
        ops.BinarySign: QuantParams("int8", (1.0,), (0,)),  # no kernel demands it: the integers are +1 and -1
    },
    "int16": dict.fromkeys((ops.Softmax, ops.Sigmoid, ops.Tanh), QuantParams("int16", (1.0 / 32768.0,), (0,))),
}

#: One input, moved or pooled: input and outputs share their integers' meaning.
COPIES = (
    ops.Reshape,
    ops.Permute,
    ops.Split,
    ops.Slice,
    ops.Expand,
    ops.Tile,
    ops.Pad,
    ops.Gather,
    ops.Flip,
    ops.Roll,
    ops.Resize,
    ops.PixelShuffle,
    ops.PixelUnshuffle,
    ops.MaxPool1d,
    ops.MaxPool2d,
    ops.AdaptiveMaxPool2d,
    ops.Relu,
    ops.Relu6,
    ops.Clamp,
    ops.Amax,
    ops.Amin,
)

#: One input; the kernel demands equal scales although it computes.
_EQUAL = (ops.AvgPool1d, ops.AvgPool2d)

#: Several inputs that meet in one output.
_JOINS = (ops.ChooseExit, ops.Concat, ops.Maximum, ops.Minimum)


@dataclass
class Group:
    """Values with one scale: their ids, joint statistics, the parameters they must have, if any, and their integers' type."""

    members: set[int] = field(default_factory=set)
    stats: Statistics | None = None
    fixed: QuantParams | None = None
    type: str = "int8"


class Groups:
    """A partition of the integer values of a graph."""

    def __init__(self, stats: dict[int, Statistics], types: Mapping[int, str] | None = None) -> None:
        self._group: dict[int, Group] = {}
        self._stats = stats
        self._types = {} if types is None else types

    def of(self, value: Value) -> Group:
        """The group of a value; a new one of its own if it had none."""
        if id(value) not in self._group:
            held = self._types.get(id(value), "int8")
            self._group[id(value)] = Group({id(value)}, self._stats.get(id(value)), type=held)
        return self._group[id(value)]

    def has(self, value: Value) -> bool:
        """The value is in a group."""
        return id(value) in self._group

    def by_id(self, value_id: int) -> Group:
        """The group of a value, by the value's id."""
        return self._group[value_id]

    def all(self) -> list[Group]:
        """Every group once."""
        return list({id(g): g for g in self._group.values()}.values())

    def widen(self, value: Value, low: float, high: float) -> None:
        """Makes the range of a value's group contain these: the rows of a table that calibration did not happen to read."""
        group = self.of(value)
        group.stats = Statistics(low, high) if group.stats is None else group.stats.merge(Statistics(low, high))

    def join(self, a: Value, b: Value) -> None:
        """Makes two groups one."""
        first, second = self.of(a), self.of(b)
        if first is second:
            return
        first.members |= second.members
        if first.stats is None or second.stats is None:
            first.stats = first.stats or second.stats
        else:
            first.stats = first.stats.merge(second.stats)
        first.fixed = first.fixed or second.fixed
        for member in second.members:
            self._group[member] = first


def build(
    graph: Graph,
    integer: set[int],
    stats: dict[int, Statistics],
    inputs: Mapping[str, QuantParams] | None = None,
    types: dict[int, str] | None = None,
) -> Groups:
    """Partitions the integer values. Where groups with different demands meet, an ``identity`` (requantise) is put between.

    New values are added to ``integer`` and, with their source's statistics, to ``stats``. ``inputs``: parameters by input
    name, where they are known exactly. ``types``: the integers of a value, by its id, where they are not int8.
    """
    types = {} if types is None else types
    groups = Groups(stats, types)
    for value in graph.inputs:
        if inputs and value.name in inputs and id(value) in integer:
            groups.of(value).fixed = inputs[value.name]
    for node in graph.nodes:
        if id(node.output) in integer:
            group = groups.of(node.output)
            group.fixed = FIXED[group.type].get(type(node.op), group.fixed)
    for node in list(graph.nodes):
        if id(node.output) not in integer:
            continue
        if isinstance(node.op, COPIES + _EQUAL):
            x = node.input(0)
            if x.is_constant:
                groups.widen(node.output, *span(x.tensor))
            else:
                for output in node.outputs:
                    groups.join(x, output)
        elif isinstance(node.op, _JOINS):
            demands = {groups.of(v).fixed if is_activation(v) else None for v in node.inputs if v is not None}
            if len(demands) == 1:  # all want the same: so does what they are joined in
                groups.of(node.output).fixed = demands.pop()
            for index, read in enumerate(node.inputs):
                if read is None or read.is_constant:
                    continue
                if groups.of(read).fixed != groups.of(node.output).fixed:
                    name = f"{read.name}.rescaled"
                    made = graph.add(ops.Identity(), read, name=name, where=node.where, before=node, types=[read.type])
                    integer.add(id(made))
                    if id(read) in types:
                        types[id(made)] = types[id(read)]
                    stats[id(made)] = stats[id(read)]
                    graph.set_input(node, index, made)
                groups.join(node.input(index), node.output)
    for value in graph.values():
        if id(value) in integer and not value.is_constant:
            groups.of(value)
    return groups
