"""Every quantised value of a graph becomes one that a ``fake_quantize`` op rounds, with a scale that can be learned."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from edgekit.compress.qat.floors import smallest_steps
from edgekit.compress.qat.initial import gradient_scale, initial_steps, learns
from edgekit.compress.qat.widening import widen_outputs
from edgekit.compress.quantize.borders import WEIGHTED, is_activation
from edgekit.compress.quantize.groups import Group, Groups, build
from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.ir.ops.training import FakeQuantize

#: Where the scales stand in the state of a graph in training.
SCALES = "edgekit_scales"

#: A learned step of a weight stays above its start divided by this.
SMALLEST_SHARE = 64.0

#: What gives elements of its first input and nothing else: rounded once, they stay on the grid.
MOVERS = (
    *(ops.Reshape, ops.Permute, ops.Split, ops.Slice, ops.Expand, ops.Tile, ops.Flip, ops.Roll),
    *(ops.PixelShuffle, ops.PixelUnshuffle, ops.MaxPool1d, ops.MaxPool2d, ops.AdaptiveMaxPool2d, ops.Amax, ops.Amin),
)


def attach(graph: Graph, types: Mapping[str, str], start: str) -> Graph:
    """A copy of a quantised graph that trains its scales.

    Values that must share a scale share one. Zero points stay the integers that calibration chose, so that the real zero
    stays one of the numbers. Scales that a kernel demands (of a softmax) are not learned, biases follow s_x * s_w, and what
    is left with ``quant`` (weights beside float activations, constants of sums) keeps its scale.

    Args:
        graph: quantised, with int8 weights; is left as it is.
        types: by the name of a weight: "int8", "int4" or "int2".
        start: how the steps of weights begin: one of ``initial.STARTS``.
    """
    return _Attachment(graph.copy(), types, start).run()


class _Attachment:
    def __init__(self, graph: Graph, types: Mapping[str, str], start: str) -> None:
        self.graph, self.types, self.start = graph, types, start
        integer = {id(v) for v in graph.values() if v.quant is not None and is_activation(v)}
        self.groups: Groups = build(graph, integer, {})
        self.scales: dict[int, Value] = {}  # by id(group), and by id of a weight
        self.rounded: dict[tuple[int, int], Value] = {}  # (id of a constant, id of its scale) -> rounded
        self.origins = _origins(graph)

    def run(self) -> Graph:
        graph = self.graph
        widen_outputs(graph, self.groups, self.types, self.start)
        before = {id(v): v.quant for v in graph.values()}  # constants are looked at after activations have lost theirs
        nodes = [node for node in graph.nodes if any(before[id(v)] is not None and is_activation(v) for v in node.outputs)]
        inputs = {id(node): node.inputs for node in nodes}
        for value in list(graph.values()):
            if value.quant is not None and is_activation(value):
                self._activation(value)
        for node in nodes:
            if isinstance(node.op, WEIGHTED):
                self._weighted(node, inputs[id(node)], before)
            elif isinstance(node.op, ops.ChooseExit | ops.Concat | ops.Maximum | ops.Minimum | ops.Gather):
                self._same_as_output(node, before)
        graph.sort()
        return graph

    # ------------------------------------------------------------------ activations

    def _activation(self, value: Value) -> None:
        """Puts a rounding op behind a value, which hands it its name (an input keeps its own)."""
        graph, group, quant = self.graph, self.groups.of(value), value.quant
        assert quant is not None
        value.quant = None
        scale = self._group_scale(group, quant, value.name)
        producer = value.producer
        moved = None if producer is None else producer.inputs[0]
        if isinstance(producer, Node) and isinstance(producer.op, MOVERS) and moved is not None and self._is_in(moved, group):
            return
        features = value.type.numel()
        made = self._round(value, scale, _op(quant, features, learned=group.fixed is None), producer)
        for node in list(value.users):
            if node is not made.producer:
                for index, seen in enumerate(node.inputs):
                    if seen is value:
                        graph.set_input(node, index, made)
        graph.outputs = [made if v is value else v for v in graph.outputs]
        if producer is not None:
            value.name, made.name = made.name, value.name

    def _is_in(self, value: Value, group: Group) -> bool:
        """The value, or the one that the rounding op before it rounds, is of the group."""
        producer = value.producer
        if producer is not None and isinstance(producer.op, FakeQuantize):
            value = producer.input(0)
        return self.groups.has(value) and self.groups.of(value) is group

    def _group_scale(self, group: Group, quant: QuantParams, name: str) -> Value:
        if id(group) not in self.scales:
            data = torch.tensor(quant.scale, dtype=torch.float32)
            self.scales[id(group)] = self._scale(name, data, learned=group.fixed is None)
        return self.scales[id(group)]

    # ------------------------------------------------------------------ constants

    def _weighted(self, node: Node, read: tuple[Value | None, ...], before: Mapping[int, QuantParams | None]) -> None:
        """The weight gets steps of its own, the bias their product with the step of the input.

        ``read``: the inputs before any were rounded.
        """
        x, weight, bias = read[0], read[1], node.optional(2)
        assert x is not None and weight is not None
        given, x_quant, y_quant = before[id(weight)], before[id(x)], before[id(node.output)]
        if given is None or x_quant is None or y_quant is None or not weight.is_constant:
            return
        dtype = self.types.get(weight.name, given.dtype)
        quant = QuantParams(dtype, given.scale, given.zero_point, given.axis, narrow=dtype != "int2")
        if id(weight) not in self.scales:
            steps = initial_steps(weight.tensor, quant.axis, quant.qmin, quant.qmax, self.start)
            floor = smallest_steps(None if bias is None else bias.data, x_quant.scale[0], y_quant.scale[0], dtype)
            floor = floor if quant.axis is not None else floor.max()
            data = torch.maximum(steps.double(), floor).float()
            learned = learns(quant.qmax, self.start)
            scale = self._scale(weight.name, data, learned=learned)
            self.scales[id(weight)] = self._kept_above(scale, data, floor.float()) if learned else scale
        scale = self.scales[id(weight)]
        elements = weight.type.numel() // scale.type.numel()
        self._constant(node, 1, scale, _op(quant, elements, learned=learns(quant.qmax, self.start)))
        if bias is not None and (bias_quant := before[id(bias)]) is not None:
            s_x = self.scales[id(self.groups.of(x))]
            product = self._product(s_x, scale, f"{bias.name}.scale")
            self._constant(node, 2, product, _op(bias_quant, 1, learned=False))

    def _same_as_output(self, node: Node, before: Mapping[int, QuantParams | None]) -> None:
        """Constants that are joined with activations, and tables, have the scale of what comes out."""
        for index, value in enumerate(node.inputs):
            quant = None if value is None else before.get(id(value))
            if value is not None and value.is_constant and quant is not None and self.groups.has(node.output):
                scale = self.scales[id(self.groups.of(node.output))]
                self._constant(node, index, scale, _op(quant, value.type.numel(), learned=False))

    def _constant(self, node: Node, index: int, scale: Value, op: FakeQuantize) -> None:
        value = node.input(index)
        value.quant = None
        value = self.origins.get(id(value), value)
        if (id(value), id(scale)) not in self.rounded:
            self.rounded[id(value), id(scale)] = self._round(value, scale, op, None)
        self.graph.set_input(node, index, self.rounded[id(value), id(scale)])

    # ------------------------------------------------------------------ making things

    def _round(self, value: Value, scale: Value, op: FakeQuantize, producer: Node | None) -> Value:
        graph = self.graph
        after = graph.nodes[graph.nodes.index(producer) + 1 :] if producer is not None else graph.nodes
        where = () if producer is None else producer.where
        suffix = "rounded" if value.is_constant or producer is None else "raw"
        name = f"{value.name}.{suffix}"
        return graph.add(op, value, scale, name=name, where=where, before=after[0] if after else None, types=[value.type])

    def _product(self, first: Value, second: Value, name: str) -> Value:
        return self.graph.add(ops.Mul(), first, second, name=name, before=self.graph.nodes[0])

    def _kept_above(self, scale: Value, start: torch.Tensor, floor: torch.Tensor) -> Value:
        """A learned step that a stray gradient can't make vanish: what kernels take, and a 64th of where it began."""
        least = self.graph.constant(torch.maximum(start / SMALLEST_SHARE, floor), f"{scale.name}.floor")
        return self.graph.add(ops.Maximum(), scale, least, name=f"{scale.name}.kept", before=self.graph.nodes[0])

    def _scale(self, name: str, data: torch.Tensor, *, learned: bool) -> Value:
        """A parameter ``edgekit_scales.<name>``, or a constant."""
        if not learned:
            return self.graph.constant(data, f"{name}.scale")
        return self.graph.add_state(_free(f"{SCALES}.{name.replace('.', '_')}", self.graph), nn.Parameter(data))


def _origins(graph: Graph) -> dict[int, Value]:
    """What a constant is a copy of, by its id: quantisation copies those that readers need in different integers.

    The copies share the memory of the first one; in training there is one tensor again, which all readers train.
    """
    found: dict[int, Value] = {}
    first: dict[tuple[object, ...], Value] = {_memory(value): value for value in graph.state.values()}
    for value in graph.constants():
        origin = first.setdefault(_memory(value), value)
        if origin is not value and value.type.numel():
            found[id(value)] = origin
    return found


def _memory(value: Value) -> tuple[object, ...]:
    """What two constants have in common whose elements are the same memory."""
    tensor = value.tensor
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def _free(wish: str, graph: Graph) -> str:
    name, count = wish, 0
    while name in graph.state:
        count += 1
        name = f"{wish}_{count}"
    return name


def _op(quant: QuantParams, elements: int, *, learned: bool) -> FakeQuantize:
    """The op of these parameters; ``elements`` share one scale."""
    zero = quant.zero_point[0]
    least, most = quant.qmin - zero, quant.qmax - zero
    pace = gradient_scale(elements, least, most) if learned else 0.0
    return FakeQuantize(quant.dtype, zero, quant.axis, quant.narrow, pace)


__all__ = ["MOVERS", "SCALES", "attach"]
