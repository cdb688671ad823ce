"""Weights that an earlier step clustered stay clustered while they are trained in integers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgekit.compress.cluster.codebooks import Codebook, output_axis
from edgekit.compress.cluster.sharing import Sharing
from edgekit.compress.sparsify.held import held
from edgekit.ir import Graph
from edgekit.train.masks import Masks, WeightRule

_LARGEST = 127


def clusters_of(graph: Graph, types: dict[str, str]) -> tuple[dict[str, Codebook], tuple[str, ...]]:
    """The codebooks that the graph's weights have now, by name, and what to say of those that 8 bits do not keep.

    A codebook on the grid "int8" holds integers that mean the same in every channel, and its units are the steps that 8-bit
    weights have anyway: rounding changes none of them, and each stays one integer while its value is trained.

    Args:
        graph: float, batch norms folded.
        types: of the weights in integers, by name.
    """
    found: dict[str, Codebook] = {}
    lost: list[str] = []
    for record in graph.history:
        for name in record.details.get("codebooks", ()):
            if name not in graph.state or name not in types:
                continue
            if record.options.get("grid") != "int8" or types[name] != "int8":
                lost.append(name)
                continue
            found[name] = _codebook(graph, name, record.details["codebooks"][name]["bits"])
    if not lost:
        return found, ()
    return found, (
        f'the clusters of {", ".join(lost)} are not kept: only those on the grid "int8" are integers, of 8 bits, themselves',
    )


def _codebook(graph: Graph, name: str, bits: int) -> Codebook:
    value = graph.state[name]
    tensor = value.tensor.detach().cpu().double()
    axis = output_axis(value)
    others = tuple(i for i in range(tensor.dim()) if i != axis)
    largest = tensor.abs().amax(dim=others, keepdim=True) if axis is not None else tensor.abs().amax()
    units = torch.where(largest > 0, largest / _LARGEST, torch.ones_like(largest))
    integers = (tensor / units).round()
    values, labels = torch.unique(integers, return_inverse=True)
    zero = int((values == 0).nonzero()[0, 0]) if bool((values == 0).any()) else -1
    if zero >= 0:  # zeros belong to no value
        labels = torch.where(labels == zero, -1, labels - (labels > zero).long())
        values = values[values != 0]
    ends = (values.abs() > _LARGEST - 0.5).nonzero().flatten().tolist()
    return Codebook(labels, values, units, tuple(ends), bits)


def keeping(codebooks: dict[str, Codebook]) -> Callable[[Graph], WeightRule] | None:
    """Makes the rule that keeps these clusters, and the zeros of other weights; None where there are no clusters."""
    return (lambda student: _Kept(student, codebooks)) if codebooks else None


class _Kept:
    """A ``WeightRule``: clusters, and masks beside them."""

    def __init__(self, graph: Graph, codebooks: dict[str, Codebook]) -> None:
        self._sharing = Sharing(graph, codebooks)
        self._masks = Masks(graph, {name: mask for name, mask in held(graph).items() if name not in codebooks})
        self.identity = self._sharing.identity + self._masks.identity

    def begin(self) -> None:
        """Nothing: the weights that are trained are those that are evaluated."""

    def gradients(self) -> None:
        """As both do."""
        self._sharing.gradients()
        self._masks.gradients()

    def weights(self) -> None:
        """As both do."""
        self._sharing.weights()
        self._masks.weights()

    def tensors(self) -> dict[str, Tensor]:
        """None: the graph holds all."""
        return {}
