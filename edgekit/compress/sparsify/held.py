"""Zeros of an earlier step, which later trainings leave alone."""

from __future__ import annotations

from torch import Tensor

from edgekit.ir import Graph


def held(graph: Graph) -> dict[str, Tensor]:
    """Masks of the weights that steps of the graph's history made sparse: False where they are zero now.

    Layers that were renamed or written anew since then are not among them: nothing tells which of their weights were zero.
    """
    names = {name for record in graph.history for name in record.details.get("zeros", ())}
    weights = {name: graph.state[name].tensor.detach() for name in sorted(names & graph.state.keys())}
    return {name: tensor != 0 for name, tensor in weights.items() if bool((tensor == 0).any())}
