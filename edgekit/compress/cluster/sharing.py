"""The rule that weights follow while their shared values are trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.compress.cluster.codebooks import Codebook
from edgekit.ir import Graph


@dataclass
class _Shared:
    """One constant: its elements are ``values[labels] * units``."""

    tensor: Tensor
    labels: Tensor  # flat; the value behind the last stands for the zeros
    units: Tensor  # flat
    first: Tensor  # of each value the place of its first member
    fixed: Tensor  # bool, of each value
    values: Tensor  # where they are fixed

    def gradient(self) -> None:
        """Every member gets the sum over all of them: dL/dv = sum of unit * dL/dw, and dw = unit * dv."""
        if self.tensor.grad is None:
            return
        flat = self.tensor.grad.reshape(-1)
        sums = torch.zeros(len(self.first) + 1, dtype=flat.dtype, device=flat.device)
        sums.index_add_(0, self.labels, flat * self.units)
        sums[-1] = 0
        sums[:-1].masked_fill_(self.fixed, 0)
        self.tensor.grad.copy_((sums[self.labels] * self.units).view_as(self.tensor.grad))

    def tie(self) -> None:
        """All members have the value of the first of them; what belongs to no value is zero."""
        flat = self.tensor.detach().reshape(-1)
        values = flat[self.first] / self.units[self.first]
        values = torch.cat((torch.where(self.fixed, self.values, values), values.new_zeros(1)))
        self.tensor.copy_((values[self.labels] * self.units).view_as(self.tensor))

    def to(self, device: torch.device) -> None:
        for name in ("labels", "units", "first", "fixed", "values"):
            setattr(self, name, getattr(self, name).to(device))


class Sharing:
    """Weights that share their values with others, from the first step of a training to the last.

    A ``WeightRule``. The members of a value have equal gradients, so that any optimizer that treats elements alike moves them
    alike, and its memory is that of the value.
    """

    def __init__(self, graph: Graph, codebooks: Mapping[str, Codebook]) -> None:
        """The rule for a graph; its weights get the values of their codebooks.

        Args:
            graph: the one that is trained.
            codebooks: by the names in ``graph.state``.
        """
        digest = hashlib.sha256()
        self._shared: list[_Shared] = []
        for name, codebook in sorted(codebooks.items()):
            tensor = graph.state[name].tensor
            digest.update(name.encode() + codebook.labels.numpy().tobytes() + codebook.values.numpy().tobytes())
            self._shared.append(_placed(tensor, codebook))
        #: Tells this rule from others, for checkpoints.
        self.identity = digest.hexdigest()

    def begin(self) -> None:
        """Nothing: the weights that are trained are those that are evaluated."""

    @torch.no_grad()
    def gradients(self) -> None:
        """Sums the gradients of each value's members."""
        for shared in self._here():
            shared.gradient()

    @torch.no_grad()
    def weights(self) -> None:
        """Makes members equal to the last bit, and zeros zero."""
        for shared in self._here():
            shared.tie()

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: the weights hold all."""
        return {}

    def _here(self) -> list[_Shared]:
        """Where the weights are now: they move once, when a training begins."""
        for shared in self._shared:
            if shared.labels.device != shared.tensor.device:
                shared.to(shared.tensor.device)
        return self._shared


@torch.no_grad()
def _placed(tensor: Tensor, codebook: Codebook) -> _Shared:
    labels = codebook.labels.reshape(-1)
    count = codebook.distinct
    first = torch.full((count,), -1, dtype=torch.long)
    places = torch.arange(len(labels))
    there = labels >= 0
    first.scatter_reduce_(0, labels[there], places[there], "amin", include_self=False)
    units = torch.ones_like(codebook.labels, dtype=torch.float64)
    units = (units if codebook.units is None else units * codebook.units).reshape(-1).to(tensor.dtype)
    values = codebook.values.to(tensor.dtype)
    fixed = torch.zeros(count, dtype=torch.bool)
    fixed[list(codebook.fixed)] = True
    shared = _Shared(tensor, torch.where(there, labels, count), units, first, fixed, values)
    start = torch.cat((values, values.new_zeros(1)))[shared.labels] * units
    tensor.copy_(start.view_as(tensor).to(tensor.device))
    return shared
