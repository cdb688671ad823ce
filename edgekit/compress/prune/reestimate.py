"""Batch-norm statistics of the smaller network, measured again."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from edgekit.ir import Graph, Node, Value, ops


def reestimate(graph: Graph, batches: list[list[torch.Tensor]]) -> int:
    """Replaces running means and variances by those of the data; returns how many batch norms were measured.

    Each batch runs with its own statistics, as in training, and their averages over batches are kept; dropout does not act.
    The graph is changed in place: it gets buffers of its own.
    """
    sums: dict[int, tuple[Node, torch.Tensor, torch.Tensor]] = {}
    seen: dict[int, torch.Tensor] = {}

    def observe(value: Value, tensor: torch.Tensor) -> torch.Tensor:
        node = value.producer
        if node is not None and isinstance(node.op, ops.BatchNorm):
            x = seen[id(node.input(0))]
            dims = [i for i in range(x.dim()) if i != 1]
            mean, var = x.mean(dims), x.var(dims, unbiased=True)
            _, old_mean, old_var = sums.get(id(node), (node, torch.zeros_like(mean), torch.zeros_like(var)))
            sums[id(node)] = (node, old_mean + mean / len(batches), old_var + var / len(batches))
            weight, bias = (None if v is None else v.tensor for v in (node.optional(1), node.optional(2)))
            tensor = F.batch_norm(x, None, None, weight, bias, True, 0.0, node.op.eps)
        seen[id(value)] = tensor
        return tensor

    module = graph.module().eval()
    with torch.no_grad():
        for batch in batches:
            seen.clear()
            module.run(batch, observe)
    for node, mean, var in sums.values():
        node.input(3).data, node.input(4).data = mean, var
    return len(sums)
