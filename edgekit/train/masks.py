"""Rules that weights follow while a graph is trained; the one rule of this file: some of them stay zero."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from edgekit.errors import UsageError
from edgekit.ir import Graph


class WeightRule(Protocol):
    """What the loop lets happen to the weights around each step.

    A rule is made for the graph that is trained, and leaves its weights as they are evaluated. In a step the loop calls
    ``begin``, runs forward and backward, calls ``gradients``, lets the optimizer step, and calls ``weights``.

    Attributes:
        identity: tells this rule from others, for checkpoints; empty where it does nothing.
    """

    identity: str

    def begin(self) -> None:
        """Before the forward pass."""

    def gradients(self) -> None:
        """Between the backward pass and the optimizer's step."""

    def weights(self) -> None:
        """After the optimizer's step: the weights as they are evaluated."""

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold beside the graph's own tensors; written back in place when a training goes on."""


class Masks:
    """Which weights of a graph live, and which stay exactly zero.

    Gradients are masked before the optimizer's step, so that neither its memory nor the clipped norm counts what is dead;
    weights after it, since momentum and weight decay move them without a gradient.
    """

    def __init__(self, graph: Graph, alive: Mapping[str, Tensor]) -> None:
        """Masks for the constants of one graph.

        Args:
            graph: the one that is trained.
            alive: by the name in ``graph.state``: bool, of the weight's shape; True where a weight lives.

        Raises:
            UsageError: a name that the graph does not have, or a mask of another shape.
        """
        self._pairs: list[tuple[Tensor, Tensor]] = []
        digest = hashlib.sha256()
        for name, mask in sorted(alive.items()):
            value = graph.state.get(name)
            if value is None or value.tensor.shape != mask.shape:
                what = "which the graph does not have" if value is None else f"whose shape is {tuple(value.tensor.shape)}"
                raise UsageError(
                    f"a mask of shape {tuple(mask.shape)} is for '{name}', {what}",
                    where=graph.name,
                    hint="masks go by the names in graph.state",
                )
            digest.update(name.encode() + mask.cpu().contiguous().numpy().tobytes())
            self._pairs.append((value.tensor, ~mask.to(value.tensor.device)))
        #: Tells these masks from others, for checkpoints; empty where there are none.
        self.identity = digest.hexdigest() if self._pairs else ""

    def begin(self) -> None:
        """Nothing: dead weights are zero all the time."""

    def tensors(self) -> dict[str, Tensor]:
        """None: the graph holds the zeros."""
        return {}

    def gradients(self) -> None:
        """Makes the gradients of dead weights zero."""
        for tensor, dead in self._placed():
            if tensor.grad is not None:
                tensor.grad.masked_fill_(dead, 0.0)

    @torch.no_grad()
    def weights(self) -> None:
        """Makes dead weights zero: filled, because a product would leave -0 of negative ones."""
        for tensor, dead in self._placed():
            tensor.masked_fill_(dead, 0.0)

    def _placed(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and what of them is dead, where the weights are now: they move once, when a training begins."""
        self._pairs = [(t, dead if dead.device == t.device else dead.to(t.device)) for t, dead in self._pairs]
        return self._pairs
