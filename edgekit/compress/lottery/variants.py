"""Networks beside the ticket: the same initial weights with something of theirs taken away."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from edgekit.compress.sparsify.ranking import masks
from edgekit.ir import Graph
from edgekit.train.masks import Masks

#: Values of the one weight that all connections share (arXiv:1906.04358, section 3.1).
SHARED_VALUES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)


def masked(graph: Graph, alive: Mapping[str, Tensor]) -> Graph:
    """A copy with zeros where the masks are False."""
    twin = copy.deepcopy(graph)
    Masks(twin, alive).weights()
    return twin


def signed_constants(graph: Graph, names: list[str]) -> Graph:
    """A copy whose weights are sign(w) times the standard deviation of the layer's (arXiv:1905.01067, section 3)."""
    twin = copy.deepcopy(graph)
    with torch.no_grad():
        for name in names:
            weight = twin.state[name].tensor
            weight.copy_(weight.sign() * weight.std(correction=0))
    return twin


def one_value(graph: Graph, names: list[str], value: float) -> Graph:
    """A copy whose weights are all the same number."""
    twin = copy.deepcopy(graph)
    with torch.no_grad():
        for name in names:
            twin.state[name].tensor.fill_(value)
    return twin


def same_sign(begin: Mapping[str, Tensor], end: Mapping[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """Masks that keep weights with large final values of the initial sign.

    The criterion "large final, same sign" of arXiv:1905.01067: the score max(0, sign(w_i) * w_f); weights whose sign turned
    go even where the share leaves room for them.

    Args:
        begin: initial weights by name.
        end: trained weights.
        shares: of zeros.
    """
    alive = {}
    for name, first in begin.items():
        score = (first.sign() * end[name]).clamp(min=0)
        alive[name] = masks({name: score}, shares[name], over_all=False, dead={name: score == 0})[name]
    return alive
