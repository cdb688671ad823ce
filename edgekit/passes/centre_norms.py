"""Layer norms whose input is centred by the layers that compute it have no mean to subtract."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import Pass, PassRecord, Skip, Skipped, require_unquantized
from edgekit.passes.channel_paths import moved, sizes
from edgekit.passes.constants import require_private, rewrite_constant

_MADE = (ops.Linear, ops.Conv1d, ops.Conv2d)


@dataclass(frozen=True)
class CentreNorms(Pass):
    """Write a layer norm of sums of layers as an RMS norm, the mean taken out of the layers' weights.

    Given::   %a = linear(%x, @w, @b)
              %s = add(%a, %r)                                  # %r likewise
              %n = layer_norm(%s, @g, @c)
    Result::  %a = linear(%x, @w - mean of its rows, @b - mean)
              %s = add(%a, %r)
              %n = rms_norm(%s, @g) + @c

    A layer norm does not see the mean over channels that it subtracts, so each summand may be without it from the start
    (Ashkboos et al. 2024, arXiv:2401.15024, section 3.1). That holds where nothing but layer norms reads the sum. For runtimes
    without an operator for the norm.
    """

    def apply(self, graph: Graph) -> PassRecord:
        """One stream of sums after the other: all its norms are rewritten, or none."""
        rewrites, skipped, done = 0, list[Skipped](), set[int]()
        for norm in [node for node in graph.nodes if isinstance(node.op, ops.LayerNorm)]:
            if id(norm) in done:
                continue
            stream = _Stream(graph)
            try:
                stream.follow(norm)
                stream.centre()
            except Skip as reason:
                skipped.append(Skipped(norm.name, str(reason), norm.where))
                continue
            for node in stream.norms:
                done.add(id(node))
                _without_mean(graph, node)
                rewrites += 1
        if rewrites:
            graph.eliminate_dead()
        return PassRecord(self.name, rewrites, tuple(skipped))


@dataclass
class _Stream:
    """Values that are centred together, each with the axis of its channels."""

    graph: Graph
    axes: dict[int, int] = field(default_factory=dict)
    norms: list[Node] = field(default_factory=list)
    makers: list[Node] = field(default_factory=list)
    constants: list[tuple[Node, int, int]] = field(default_factory=list)

    def follow(self, norm: Node) -> None:
        """Collect all that has to be centred with the input of a norm.

        Raises:
            Skip: some of it can't be.
        """
        waiting = [(norm.input(0), norm.input(0).type.rank - 1)]
        while waiting:
            value, axis = waiting.pop()
            if id(value) in self.axes:
                if self.axes[id(value)] != axis:
                    raise Skip(f"%{value.name} has channels on two axes")
                continue
            if value.producer is None or self.graph.is_output(value):
                raise Skip(f"%{value.name} is an input or output of the model")
            require_unquantized(value)
            self.axes[id(value)] = axis
            waiting += self._before(value.producer, value, axis)
            for reader in dict.fromkeys(value.users):
                waiting += self._after(reader, value, axis)

    def _before(self, node: Node, value: Value, axis: int) -> list[tuple[Value, int]]:
        """What a value is computed from and has to be centred for it."""
        if isinstance(node.op, _MADE):
            self._require_weights(node, axis)
            self.makers.append(node)
            return []
        found = []
        for index, given in enumerate(node.inputs):
            if given is None or (isinstance(node.op, ops.Gather) and index == 1):
                continue
            place = next((a for a in range(given.type.rank) if _carried(node, index, a) == axis), None)
            if place is None:
                if isinstance(node.op, ops.Mul | ops.Div) and _is_one_number(given) and index == len(node.inputs) - 1:
                    continue
                raise Skip(f"'{node.op.name}' computes %{value.name}")
            if given.is_constant:
                require_private(self.graph, given, node)
                self.constants.append((node, index, place))
            else:
                found.append((given, place))
        return found

    def _after(self, node: Node, value: Value, axis: int) -> list[tuple[Value, int]]:
        """What is computed from a value and is centred with it."""
        if isinstance(node.op, ops.LayerNorm) and node.input(0) is value and sum(v is value for v in node.inputs) == 1:
            if node.op.axes != 1 or axis != value.type.rank - 1 or node.output.quant is not None:
                raise Skip(f"another norm reads %{value.name}")
            self.norms.append(node)
            return []
        places = {_carried(node, index, axis) for index, given in enumerate(node.inputs) if given is value}
        place = places.pop() if len(places) == 1 else None
        if place is None:
            raise Skip(f"'{node.op.name}' reads %{value.name}")
        return [(output, place) for output in node.outputs]

    def _require_weights(self, node: Node, axis: int) -> None:
        if axis != (node.output.type.rank - 1 if isinstance(node.op, ops.Linear) else 1):
            raise Skip(f"the channels of %{node.output.name} are on another axis")
        if node.op.activation != "none" or getattr(node.op, "groups", 1) != 1:  # type: ignore[attr-defined]
            raise Skip(f"%{node.output.name} has groups or an activation")
        for constant in node.inputs[1:]:
            if constant is not None:
                require_private(self.graph, constant, node)

    def centre(self) -> None:
        """Takes the means out of weights, biases and constants."""
        for node in self.makers:
            for constant in node.inputs[1:]:
                if constant is not None:
                    data = constant.tensor.detach().double()
                    rewrite_constant(constant, data - data.mean(0, keepdim=True))
        for node, index, axis in self.constants:
            given = node.input(index)
            data = given.tensor.detach().double()
            data = (data - data.mean(axis, keepdim=True)).to(given.type.dtype)
            self.graph.set_input(node, index, self.graph.constant(data, f"{given.name}.centred"))


def _carried(node: Node, index: int, axis: int) -> int | None:
    """Like ``moved``, through sums and products with one number as well: what keeps centred channels centred."""
    value = node.inputs[index]
    assert value is not None
    if isinstance(node.op, ops.Add | ops.Sub | ops.Mul | ops.Div):
        if node.op.activation != "none":
            return None
        if isinstance(node.op, ops.Mul | ops.Div) and (index != 0 or not _is_one_number(node.input(1))):
            return None
        place = axis + node.output.type.rank - value.type.rank
        return place if sizes(value)[axis] == sizes(node.output)[place] > 1 else None
    return moved(node, index, axis)


def _is_one_number(value: Value) -> bool:
    return value.is_constant and value.type.numel() == 1


def _without_mean(graph: Graph, node: Node) -> None:
    """A layer norm of a centred value as an RMS norm, its bias added behind."""
    assert isinstance(node.op, ops.LayerNorm)
    weight, bias = node.optional(1), node.optional(2)
    inputs = [node.input(0), *([weight] if weight is not None else [])]
    name = f"{node.name}.scaled" if bias is not None else None
    result = graph.add(ops.RmsNorm(eps=node.op.eps), *inputs, name=name, where=node.where, before=node)
    if bias is not None:
        result = graph.add(ops.Add(), result, bias, where=node.where, before=node)
    graph.replace(node.output, result)
