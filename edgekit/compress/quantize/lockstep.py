"""Run a quantised graph twice at once, node by node: as it is quantised, and in float as the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from edgekit.ir import Graph, Node, Value
from edgekit.ir.fake_quant import fake_quantize
from edgekit.ir.ops.activation import fused
from edgekit.ir.ops.base import Op, as_tuple
from edgekit.ir.types import Batch

#: Called for a node that the visitor chose, with its outputs before activation and rounding, float and quantised, batch by
#: batch. Returns what to add to the quantised outputs (the node's constants changed accordingly), or None.
Visitor = Callable[[Node, list[torch.Tensor], list[torch.Tensor]], torch.Tensor | None]


#: Called before a node that it chose runs quantised, with what the quantised run feeds it and its float outputs before the
#: activation, batch by batch. May change the node's constants.
Preparer = Callable[[Node, list[torch.Tensor], list[torch.Tensor]], None]


def run_lockstep(
    graph: Graph,
    batches: Sequence[list[torch.Tensor]],
    chosen: Callable[[Node], bool],
    visit: Visitor,
    *,
    prepare: Preparer | None = None,
    prepared: Callable[[Node], bool] = lambda node: False,
) -> None:
    """Walks the graph once over all batches. The reference is the same graph with every ``quant`` ignored and its first
    constants.

    Args:
        graph: quantised; its constants may be changed by ``visit``, nothing else.
        batches: graph inputs, batch by batch; all are in memory at once, intermediate values until their last reader has run.
        chosen: which nodes ``visit`` sees; they have one output and an ``activation``.
        visit: sees their outputs before the activation.
        prepare: sees the inputs and the float outputs of the nodes that ``prepared`` chooses, which have an ``activation``.
        prepared: see ``prepare``.
    """
    sizes = [batch_size(graph, batch) for batch in batches]
    floats, integers = _Side(graph, False), _Side(graph, True)
    last = {id(v): index for index, node in enumerate(graph.nodes) for v in node.inputs if v is not None}
    with torch.no_grad():
        for batch in batches:
            for value, tensor in zip(graph.inputs, batch, strict=True):
                floats.write(value, tensor)
                integers.write(value, tensor)
        for index, node in enumerate(graph.nodes):
            seen, changes = chosen(node), prepare is not None and prepared(node)
            activation = str(getattr(node.op, "activation", "none")) if seen or changes else "none"
            op = node.op.with_(activation="none") if seen or changes else node.op
            wanted = floats.run(op, node, sizes)
            if prepare is not None and changes:
                prepare(node, integers.tensors[id(node.input(0))], [y[0] for y in wanted])
            got = integers.run(op, node, sizes)
            change = visit(node, [y[0] for y in wanted], [y[0] for y in got]) if seen else None
            floats.keep(node, wanted, activation)
            integers.keep(node, got, activation, change)
            for key in (id(v) for v in (*node.inputs, *node.outputs)):
                if last.get(key, -1) <= index:
                    floats.tensors.pop(key, None)
                    integers.tensors.pop(key, None)


def batch_size(graph: Graph, inputs: Sequence[torch.Tensor]) -> int:
    """The batch size of these graph inputs; 1 where none depends on the batch."""
    for value, tensor in zip(graph.inputs, inputs, strict=True):
        for dim, size in zip(value.type.shape, tensor.shape, strict=True):
            if isinstance(dim, Batch):
                return size // dim.multiple
    return 1


class _Side:
    """One of the two runs: values by id, a tensor per batch; constants fixed (float run) or fake-quantised once per use."""

    def __init__(self, graph: Graph, quantized: bool) -> None:
        self.quantized = quantized
        self.tensors: dict[int, list[torch.Tensor]] = {}
        self.first = {} if quantized else {id(v): v.tensor.detach() for v in graph.constants()}

    def write(self, value: Value, tensor: torch.Tensor) -> None:
        if self.quantized and value.quant is not None:
            tensor = fake_quantize(tensor, value.quant)
        self.tensors.setdefault(id(value), []).append(tensor)

    def keep(
        self, node: Node, results: list[tuple[torch.Tensor, ...]], activation: str, change: torch.Tensor | None = None
    ) -> None:
        """Writes a node's results, and lets go of each as the next is written: together they are the peak of memory."""
        results.reverse()
        while results:
            for value, tensor in zip(node.outputs, results.pop(), strict=True):
                self.write(value, fused(tensor if change is None else tensor + change, activation))

    def run(self, op: Op, node: Node, sizes: list[int]) -> list[tuple[torch.Tensor, ...]]:
        constants = {id(v): self._constant(v) for v in node.inputs if v is not None and v.is_constant}
        results = []
        for i, size in enumerate(sizes):
            inputs = [None if v is None else constants[id(v)] if v.is_constant else self.tensors[id(v)][i] for v in node.inputs]
            results.append(as_tuple(op.at(size).run(*inputs)))
        return results

    def _constant(self, value: Value) -> torch.Tensor:
        if not self.quantized:
            return self.first.get(id(value), value.tensor.detach())
        data = value.tensor.detach()
        return data if value.quant is None else fake_quantize(data, value.quant)
