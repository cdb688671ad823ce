"""The rule of a training with latent weights: clipped after every step, never decayed, at a pace of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from edgekit.ir import Graph
from edgekit.train.masks import WeightRule


class Latents:
    """Keeps latent weights within [-1, 1] (a ``WeightRule``): beyond, their signs could never change again.

    With a pace f, a step of the optimizer from w to w' goes to w + f (w' - w) instead, as BinaryConnect's own code scales its
    learning rates.
    """

    def __init__(self, graph: Graph, names: Sequence[str], norms: Sequence[str], pace: str, other: WeightRule) -> None:
        """A rule for the graph that is trained.

        Args:
            graph: whose weights they are.
            names: of latent weights in ``graph.state``.
            norms: of numbers that stay at 0 or above.
            pace: "" for the optimizer's own; "linear": times the inverse of Glorot's coefficient sqrt(1.5 / (in + out));
                "square": times its square.
            other: a rule for the other weights.
        """
        self._latents = [graph.state[name].tensor for name in names]
        self._norms = [graph.state[name].tensor for name in norms]
        self._paces = [_glorot(tensor) ** (1 if pace == "linear" else 2) for tensor in self._latents] if pace else []
        self._other = other
        self._before: list[Tensor] = []
        self.identity = hashlib.sha256(f"latents{list(names)}{list(norms)}{pace}{other.identity}".encode()).hexdigest()
        #: Weights that the optimizer must not decay.
        self.undecayed = tuple(self._latents)

    def begin(self) -> None:
        """Remembers the weights, where they have a pace."""
        self._other.begin()
        self._before = [tensor.detach().clone() for tensor in self._latents] if self._paces else []

    def gradients(self) -> None:
        """Nothing for latent weights."""
        self._other.gradients()

    @torch.no_grad()
    def weights(self) -> None:
        """The pace, then the clip."""
        self._other.weights()
        for tensor, old, pace in zip(self._latents, self._before, self._paces, strict=False):
            tensor.sub_(old).mul_(pace).add_(old)
        self._before = []
        for tensor in self._latents:
            tensor.clamp_(-1.0, 1.0)
        for tensor in self._norms:
            tensor.clamp_(min=0.0)

    def tensors(self) -> dict[str, Tensor]:
        """What the other rule keeps: latent weights are the graph's own."""
        return self._other.tensors()


def _glorot(weight: Tensor) -> float:
    """The inverse of the coefficient of Glorot and Bengio 2010: sqrt((in + out) / 1.5)."""
    window = weight[0, 0].numel() if weight.dim() > 2 else 1
    return sqrt((weight.shape[0] + weight.shape[1]) * window / 1.5)
