"""Masks that are learned while the weights stay what they were: scores under the weights, trained straight through."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgekit.ir import Graph
from edgekit.train.randomness import generator


@dataclass(frozen=True)
class Learning:
    """How scores become masks.

    Attributes:
        method: "bernoulli": a weight lives with probability sigmoid(s), drawn anew at every step and by p > 1/2 in the end
            (Zhou et al. 2019, arXiv:1905.01067, section 5); "top_k": those of largest magnitude |s| live (edge-popup,
            Ramanujan et al. 2020, arXiv:1911.13299).
        sparsity: share of zeros of each layer, of "top_k".
        rescale: what lives is multiplied by n / n_alive ("dynamic rescale" of the first paper), or for "top_k" by its square
            root (the scaling by fan-in of the second), so that sums keep their size.
        seed: of the scores' first values.
    """

    method: str
    sparsity: float
    rescale: bool
    seed: int


class Scores:
    """The rule of a training in which masks are learned (a ``WeightRule``).

    In a step a weight is w * m(s) for the weight's first value w; the gradient with respect to the score is

        dL/ds = dL/d(w m) * w * dm/ds,    dm/ds = sigmoid'(s) ("bernoulli"), sign(s) ("top_k", whose mask is of |s|)

    with the mask's own derivative taken for 1 (straight through). Scores take the weights' place while the optimizer steps, so
    that its memory, rate and decay are the scores'.
    """

    def __init__(self, graph: Graph, names: Sequence[str], learning: Learning, shared: Sequence[float] = ()) -> None:
        """Scores for some weights of the graph that is trained.

        Args:
            graph: whose weights are what is masked.
            names: of the weights in ``graph.state``.
            learning: how.
            shared: values of the one weight that all connections have, one drawn at every step. The graph has the first of
                them, and is evaluated with it.
        """
        self._learning, self._shared = learning, tuple(shared)
        self._tensors = {name: graph.state[name].tensor for name in names}
        self._weights = {name: tensor.detach().clone() for name, tensor in self._tensors.items()}
        self._scores = {name: _first(name, weight, learning) for name, weight in self._weights.items()}
        self._drawn: dict[str, Tensor] = {}
        self._steps = torch.zeros((), dtype=torch.int64)
        self._are_scores = False
        digest = hashlib.sha256(f"{learning}{self._shared}{list(names)}".encode())
        for weight in self._weights.values():
            digest.update(weight.cpu().contiguous().numpy().tobytes())
        self.identity = digest.hexdigest()

    @torch.no_grad()
    def begin(self) -> None:
        """The masks of this step."""
        self._place()
        # Numbers of its own: several processes draw the same, and one that goes on where it stopped draws what it would have.
        numbers = generator(self._learning.seed, "masks", int(self._steps))
        self._steps += 1
        factor = 1.0
        if self._shared:
            factor = self._shared[int(torch.randint(len(self._shared), (), generator=numbers))] / self._shared[0]
        for name, scores in self._scores.items():
            if self._learning.method == "bernoulli":
                chance = torch.rand(scores.shape, generator=numbers).to(scores.device)
                mask = (chance < torch.sigmoid(scores)).to(scores.dtype)
            else:
                mask = self._mask(scores)
            self._drawn[name] = self._weights[name] * (self._ratio(mask) * factor)
            self._tensors[name].copy_(self._drawn[name] * mask)

    @torch.no_grad()
    def gradients(self) -> None:
        """From weights to scores."""
        self._are_scores = True
        for name, tensor in self._tensors.items():
            scores = self._scores[name]
            if tensor.grad is not None:
                p = torch.sigmoid(scores)
                slope = p * (1 - p) if self._learning.method == "bernoulli" else scores.sign()
                tensor.grad.mul_(self._drawn[name] * slope)
            tensor.copy_(scores)

    @torch.no_grad()
    def weights(self) -> None:
        """Takes the scores over where the optimizer has moved them, and puts the weights under their final masks in place."""
        for name, tensor in self._tensors.items():
            if self._are_scores:
                self._scores[name].copy_(tensor)
            mask = self._mask(self._scores[name])
            tensor.copy_(self._weights[name] * mask * self._ratio(mask))
        self._are_scores = False

    def tensors(self) -> dict[str, Tensor]:
        """The scores, and how often masks were drawn."""
        return {**self._scores, "#steps": self._steps}

    def _place(self) -> None:
        """Scores and first values move to where the weights are, once, when a training begins."""
        for name, tensor in self._tensors.items():
            if self._scores[name].device != tensor.device:
                self._scores[name] = self._scores[name].to(tensor.device)
                self._weights[name] = self._weights[name].to(tensor.device)

    def _mask(self, scores: Tensor) -> Tensor:
        """1.0 where a weight lives in the end."""
        if self._learning.method == "bernoulli":
            return (scores > 0).to(scores.dtype)
        keep = scores.numel() - round(self._learning.sparsity * scores.numel())
        mask = torch.zeros_like(scores)
        mask.view(-1)[_largest(scores.abs().view(-1), keep)] = 1.0
        return mask

    def _ratio(self, mask: Tensor) -> float:
        if not self._learning.rescale:
            return 1.0
        ratio = mask.numel() / max(float(mask.sum()), 1.0)
        return ratio if self._learning.method == "bernoulli" else ratio**0.5


def _largest(values: Tensor, count: int) -> Tensor:
    """Places of so many of the largest values; on a CPU by a partition, which is several times as fast as ``topk`` there."""
    if values.device.type != "cpu" or not 0 < count < len(values):
        return values.topk(count, sorted=False).indices
    return torch.from_numpy(np.argpartition(values.numpy(), len(values) - count)[len(values) - count :])


def _first(name: str, weight: Tensor, learning: Learning) -> Tensor:
    """Scores to begin with: uniform between +-1 / sqrt(fan_in), as torch draws weights; nearly 0 for probabilities."""
    numbers = generator(learning.seed, "scores", name)
    draw = torch.rand(weight.shape, generator=numbers) * 2 - 1
    return draw * (0.01 if learning.method == "bernoulli" else weight[0].numel() ** -0.5)
