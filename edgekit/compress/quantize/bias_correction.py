"""Move the mean error of each channel into the bias, layer by layer in the order of execution.

Rounding shifts the mean of a layer's output: ``E[W' x' + b] != E[W x + b]``. The difference, measured on the calibration data
with the inputs x' that the quantised network really feeds the layer, is added to b (Nagel et al. 2019, arXiv:1906.04721,
section 4.2, with measured means).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.quantize.lockstep import run_lockstep
from edgekit.compress.quantize.params import bias_params
from edgekit.compress.quantize.rounding.layers import AdaRound
from edgekit.compress.quantize.rounding.layers import chosen as to_round
from edgekit.ir import Graph, Node, ops


def correct_biases(
    graph: Graph, batches: Sequence[list[torch.Tensor]], *, rounding: AdaRound | None = None, correct: bool = True
) -> list[str]:
    """Changes the biases of a quantised graph in place; layers without one get one. Returns the weights' names.

    A bias that several nodes share stays as it is.

    Args:
        graph: quantised.
        batches: calibration inputs.
        rounding: on the same walk, each layer's weights are rounded by it first.
        correct: False leaves the biases alone.
    """
    corrected: list[str] = []

    def chosen(node: Node) -> bool:
        if not correct or not isinstance(node.op, WEIGHTED) or node.input(0).quant is None or node.input(1).quant is None:
            return False
        bias = node.optional(2)
        return bias is None or (len(bias.users) == 1 and bias.quant is not None)

    def visit(node: Node, wanted: list[torch.Tensor], got: list[torch.Tensor]) -> torch.Tensor | None:
        axis = node.output.type.rank - 1 if isinstance(node.op, ops.Linear) else 1
        others = [d for d in range(node.output.type.rank) if d != axis]
        means = [((a - b).mean(others), a.numel()) for a, b in zip(wanted, got, strict=True)]
        change = sum((mean * count for mean, count in means), torch.zeros(())) / sum(count for _, count in means)
        change = torch.as_tensor(change, dtype=torch.float32)
        bias = node.optional(2)
        if bias is None:
            x, weight = node.input(0).quant, node.input(1).quant
            assert x is not None and weight is not None
            bias = graph.constant(change, f"{node.input(1).name.removesuffix('weight')}bias")
            bias.quant = bias_params(x, weight)
            graph.extend_input(node, bias)
        else:
            bias.data = bias.tensor.detach() + change
        corrected.append(node.input(1).name)
        return change.reshape([-1 if d == axis else 1 for d in range(node.output.type.rank)])

    if correct or rounding is not None:
        run_lockstep(graph, batches, chosen, visit, prepare=rounding, prepared=lambda node: to_round(graph, node))
    return corrected
