"""How far a scale that all channels of a linear layer share is worth clipping.

The largest weight of all sets the scale, and the channels without such weights are rounded in steps that are too coarse for
them. Clipping that one weight a little is often better: the share c of the largest magnitude is taken with the least

    sum over samples and outputs that act:  e^2,   e = (W_c - W) x, less its mean over the samples,

W_c being W in the integers of the range c max |W|. The mean is left out where it moves into the bias, and so are outputs
that a ReLU holds at zero. MLPerf Tiny's autoencoder gains 1.0 dB at its output.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch

from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.params import weight_params
from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.fake_quant import fake_quantize

#: Shares of the largest magnitude that are tried. Below them the error of the few weights that are cut off is no longer small
#: against their layer's output, and no longer adds up as independent errors do.
SHARES = tuple(1.0 - 0.025 * step for step in range(17))

#: Positions that the error is measured on.
_ROWS = 512


def clipped_shares(
    graph: Graph, batches: Sequence[list[torch.Tensor]], nodes: Collection[Node], layers: Layers, *, centred: bool
) -> dict[str, float]:
    """The share of the largest magnitude that each layer's integers reach to, by the name of its output.

    Args:
        graph: float; no value may carry ``quant`` yet.
        batches: calibration inputs.
        nodes: linear layers of ``graph`` whose channels share one scale. Those whose weight others read too are left out: a
            choice for each reader would store the weight twice.
        layers: which integers weights become.
        centred: mean errors are corrected afterwards.
    """
    alone = [node for node in nodes if len(node.input(1).users) == 1]
    if not alone:
        return {}
    rows = _rows(graph, batches, alone)
    return {
        node.name: _share(node, rows[id(node.input(0))], rows[id(node.output)], layers.of(node).weights, centred)
        for node in alone
        if id(node.input(0)) in rows and id(node.output) in rows
    }


def _rows(graph: Graph, batches: Sequence[list[torch.Tensor]], nodes: Sequence[Node]) -> Mapping[int, torch.Tensor]:
    """What the layers read and give, by id of the value, as (positions, channels) at up to ``_ROWS`` positions."""
    wanted = {id(value) for node in nodes for value in (node.input(0), node.output)}
    found: dict[int, list[torch.Tensor]] = {}

    def observe(value: Value, tensor: torch.Tensor) -> None:
        if id(value) in wanted:
            flat = tensor.detach().reshape(-1, tensor.shape[-1])
            most = -(-_ROWS // len(batches))
            found.setdefault(id(value), []).append(flat[:: max(1, -(-len(flat) // most))])

    with torch.no_grad():
        for batch in batches:
            graph.module().eval().run(list(batch), observe)
    return {key: torch.cat(parts) for key, parts in found.items()}


def _share(node: Node, x: torch.Tensor, y: torch.Tensor, dtype: str, centred: bool) -> float:
    weight = node.input(1).tensor.detach()
    held_at_zero = isinstance(node.op, ops.Linear) and node.op.activation in ("relu", "relu6")
    acts = (y != 0).float() if held_at_zero else torch.ones(())

    def error(share: float) -> float:
        missing = x @ (fake_quantize(weight, weight_params(weight, None, dtype=dtype, share=share)) - weight).T
        if centred:
            missing = missing - missing.mean(0)
        return float((missing.square() * acts).sum(dtype=torch.float64))

    return min(SHARES, key=error)
