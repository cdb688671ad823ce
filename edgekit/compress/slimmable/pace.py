"""How fast shared weights learn: a weight of several sizes takes the mean of their gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from edgekit.compress.slimmable.nested import Nested
from edgekit.ir import Graph
from edgekit.train.masks import Masks


class Pace(Masks):
    """Masks, and gradients divided by the number of sizes that each weight is a part of.

    The loss is a sum over sizes, so that what the whole network has alone learns as fast as without the others; the first
    channels, which all sizes read, would learn several times as fast. Divided by the number of terms that reach it, every
    weight moves at the rate that was asked for.
    """

    def __init__(self, graph: Graph, alive: Mapping[str, Tensor], nested: Sequence[Nested], chances: Sequence[float]) -> None:
        """A rule for one graph.

        Args:
            graph: the whole network, which is trained.
            alive: as of ``Masks``.
            nested: the other sizes.
            chances: of each of them to be trained in a step.
        """
        super().__init__(graph, alive)
        self._counts: list[tuple[Tensor, Tensor]] = []
        digest = hashlib.sha256(self.identity.encode())
        for name, value in graph.state.items():
            sharing = [(each.parts[name], chance) for each, chance in zip(nested, chances, strict=True) if name in each.parts]
            if not value.is_trainable or not sharing:
                continue
            ones = torch.ones_like(value.tensor, requires_grad=True)
            terms = sum((chance * part(ones).sum() for part, chance in sharing), torch.zeros((), device=ones.device))
            count = 1.0 + torch.autograd.grad(terms, ones)[0]
            self._counts.append((value.tensor, count))
            digest.update(name.encode() + count.cpu().contiguous().numpy().tobytes())
        self.identity = digest.hexdigest()

    def gradients(self) -> None:
        """Divides, and masks what is dead."""
        self._counts = [(t, count if count.device == t.device else count.to(t.device)) for t, count in self._counts]
        for tensor, count in self._counts:
            if tensor.grad is not None:
                tensor.grad.div_(count)
        super().gradients()
