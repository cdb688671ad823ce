"""One spelling per idea: patterns that mean an op become that op."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import PassRecord, Rewrite, Skip, require_unquantized, succeed


def scalar(value: Value | None) -> float | None:
    """The number in a one-element constant, else None."""
    if value is None or not value.is_constant or value.tensor.numel() != 1:
        return None
    return float(value.tensor.detach())


#: The op, what it reads, and the values that it makes superfluous.
_Found = tuple[ops.Op, Value, list[Value]]


@dataclass(frozen=True)
class RecognizeActivations(Rewrite):
    """Recognise composed activations, so that runtimes see their fused form.

    Given::   %s = sigmoid(%x)
              %y = mul(%x, %s)
    Result::  %y = silu(%x)

    and likewise ``x * hardsigmoid(x)`` as hardswish, ``x * relu6(x + 3) / 6`` (either order of the division) as hardswish,
    ``relu6(x + 3) / 6`` as hardsigmoid.
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Mul | ops.Div) and node.op.activation == "none"

    def rewrite(self, graph: Graph, node: Node) -> None:
        found = self._gated(node) or self._sixth(node)
        if found is None or found[1].type != node.output.type:  # a constant of a higher rank would add dimensions
            raise Skip("not an activation")
        op, x, between = found
        require_unquantized(*between)
        succeed(graph, node.output, graph.add(op, x, where=node.where, before=node))

    def apply(self, graph: Graph) -> PassRecord:
        record = super().apply(graph)
        return PassRecord(record.name, record.rewrites)  # every other product would be a "skip" that tells nobody anything

    def _gated(self, node: Node) -> _Found | None:
        if not isinstance(node.op, ops.Mul):
            return None
        for x, gate in ((node.input(0), node.input(1)), (node.input(1), node.input(0))):
            producer = gate.producer
            if producer is None or producer.inputs[0] is not x:
                continue
            if isinstance(producer.op, ops.Sigmoid):
                return ops.Silu(), x, [gate]
            if isinstance(producer.op, ops.Hardsigmoid):
                return ops.Hardswish(), x, [gate]
        return None

    def _sixth(self, node: Node) -> _Found | None:
        """relu6(x + 3) / 6, alone or times x inside the division."""
        factor = scalar(node.input(1))
        if factor is None or abs((factor if isinstance(node.op, ops.Mul) else 1.0 / factor) - 1.0 / 6.0) > 1e-7:
            return None
        inner = node.input(0).producer
        if inner is None:
            return None
        if found := self._relu6_of_shifted(inner):
            return ops.Hardsigmoid(), *found
        if isinstance(inner.op, ops.Mul) and inner.op.activation == "none":
            for x, gate in ((inner.input(0), inner.input(1)), (inner.input(1), inner.input(0))):
                found = None if gate.producer is None else self._relu6_of_shifted(gate.producer)
                if found is not None and found[0] is x:
                    return ops.Hardswish(), x, [inner.output, *found[1]]
        return None

    @staticmethod
    def _relu6_of_shifted(node: Node) -> tuple[Value, list[Value]] | None:
        """x of ``relu6(x + 3)``, and the values between."""
        is_relu6 = isinstance(node.op, ops.Relu6) or (isinstance(node.op, ops.Clamp) and (node.op.low, node.op.high) == (0, 6))
        shift = node.input(0).producer if is_relu6 else None
        if shift is None or not isinstance(shift.op, ops.Add) or shift.op.activation != "none" or scalar(shift.input(1)) != 3.0:
            return None
        return shift.input(0), [node.output, shift.output]
