"""Parameters of an LSTM in integers: 8-bit output and weights, a 16-bit cell state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch

from edgekit.compress.quantize.borders import is_named_for_integers
from edgekit.compress.quantize.groups import Groups
from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.policy import Mode, Policy
from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.ir.integer.lstm import MOST_CELL_BITS
from edgekit.passes.split_recurrent import SplitLstm


def split_integer_lstms(graph: Graph, policy: Policy, layers: Layers) -> None:
    """Writes the LSTM layers that are to compute in integers one by one, in place: each has a scale of its own."""
    split = SplitLstm()
    for node in list(graph.nodes):
        integer = isinstance(node.op, ops.Lstm) and (
            policy.mode(node) is Mode.INTEGER or is_named_for_integers(node, policy, layers)
        )
        if integer and split.match(graph, node):
            split.rewrite(graph, node)
    graph.eliminate_dead()


def integer_lstms(graph: Graph, integer: set[int]) -> list[Node]:
    """The LSTM nodes that compute in integers."""
    return [node for node in graph.nodes if isinstance(node.op, ops.Lstm) and id(node) in integer]


def share_states(nodes: Iterable[Node], groups: Groups, batches: Sequence[list[torch.Tensor]], graph: Graph) -> None:
    """Output and hidden state are one thing; a cell state gets the power of two that holds it at every step of calibration.

    A cell that grows beyond 64, which the kernel has no form for, is held at 64: its tanh is 1 from 10 on.
    """
    largest = _largest_cells(list(nodes), batches, graph)
    for node in nodes:
        y, hidden, cell = node.outputs
        groups.join(y, hidden)
        bits = math.ceil(math.log2(max(largest[id(node)], 2.0**-14)))
        bits = min(max(bits, 0), MOST_CELL_BITS)
        groups.of(cell).fixed = QuantParams("int16", (2.0 ** (bits - 15),), (0,))


def _largest_cells(nodes: list[Node], batches: Sequence[list[torch.Tensor]], graph: Graph) -> dict[int, float]:
    """The largest magnitude of each layer's cell state over all steps of all samples."""
    found = dict.fromkeys(map(id, nodes), 0.0)
    readers: dict[int, list[Node]] = {}
    for node in nodes:
        readers.setdefault(id(node.input(0)), []).append(node)

    def see(value: Value, tensor: torch.Tensor) -> None:
        for node in readers.get(id(value), ()):
            found[id(node)] = max(found[id(node)], _largest_cell(node, tensor))

    module = graph.module().eval()
    with torch.no_grad():
        for batch in batches if nodes else ():
            module.run(batch, see)
    return found


def _largest_cell(node: Node, x: torch.Tensor) -> float:
    """Step by step, as torch computes it."""
    op = node.op
    assert isinstance(op, ops.Lstm)
    weights = [value.tensor.detach() for value in node.inputs[3:] if value is not None]
    x = x.transpose(0, 1) if op.batch_first else x
    h = c = x.new_zeros(x.shape[1], op.hidden)
    bias = weights[2] + weights[3] if op.bias else 0.0
    given = x @ weights[0].T + bias
    largest = 0.0
    for now in given:
        i, f, g, o = (now + h @ weights[1].T).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        largest = max(largest, float(c.abs().max()))
    return largest
