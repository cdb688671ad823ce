"""A network whose channels are scaled so that its function stays and one scale for a whole weight is useless."""

from __future__ import annotations

import torch

from edgekit.compress.equalize.pairs import find_pairs
from edgekit.compress.equalize.scaling import Weights
from edgekit.ir import Graph
from edgekit.passes import EXACT, run_passes
from edgekit.passes.constants import rewrite_constant


def adversarially_scaled(graph: Graph, factor: float, seed: int = 0) -> Graph:
    """The same function: every channel between two layers is up to ``factor`` times larger or smaller (log-uniform)."""
    out, _ = run_passes(graph, EXACT)
    pairs, _ = find_pairs(out)
    weights, generator = Weights(pairs), torch.Generator().manual_seed(seed)
    for pair in pairs:
        exponent = 2 * torch.rand(pair.channels, generator=generator, dtype=torch.float64) - 1
        scale = torch.tensor(factor, dtype=torch.float64) ** exponent
        weights.scale_made(pair.first, scale)
        weights.scale_read(pair.second, scale, pair.repeat)
    for node in {id(n): n for pair in pairs for n in (pair.first, pair.second)}.values():
        rewrite_constant(node.input(1), weights.weight[id(node)])
        if id(node) in weights.bias:
            rewrite_constant(node.input(2), weights.bias[id(node)])
    return out
