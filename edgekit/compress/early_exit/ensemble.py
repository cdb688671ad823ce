"""Exits that add the answer of the exit before to their own (Zero Time Waste, Wolczyk et al., arXiv:2106.05409).

With z the logits of an exit by itself and E those that the exit before gives: E' = z + w E. What an exit thought is not thrown
away where it was unsure. The weight is that of the least negative log likelihood, with a temperature of its own beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.compress.early_exit.calibration import fit_temperature, negative_log_likelihood
from edgekit.ir import Graph, Value, ops

#: Weights that are tried, then finer ones around the best.
_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
_FINER = (0.8, 0.9, 1.0, 1.1, 1.2)


def fit_weights(logits: Sequence[torch.Tensor], labels: NDArray[np.int64]) -> tuple[float, ...]:
    """The weight of the exit before in each exit's answer, from the second exit to the last, in float32's digits.

    Args:
        logits: of every exit by itself, (samples, classes), the last one's at the end.
        labels: of the samples.
    """
    weights: list[float] = []
    before = logits[0].double().numpy()
    for own in (z.double().numpy() for z in logits[1:]):
        coarse = min(_WEIGHTS, key=lambda w: _loss(own + w * before, labels))
        fine = min((coarse * factor for factor in _FINER), key=lambda w: _loss(own + w * before, labels))
        weights.append(float(np.float32(fine)))
        before = own + weights[-1] * before
    return tuple(weights)


def _loss(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return negative_log_likelihood(logits, labels, fit_temperature(logits, labels))


def blended(logits: Sequence[torch.Tensor], weights: Sequence[float]) -> list[torch.Tensor]:
    """What the exits answer together."""
    found = [logits[0]]
    for own, weight in zip(logits[1:], weights, strict=True):
        found.append(own + torch.tensor(weight, dtype=own.dtype) * found[-1] if weight else own)
    return found


def blend(graph: Graph, exits: Sequence[Value], weights: Sequence[float]) -> list[Value]:
    """The same in a graph; the values that answer."""
    found = [exits[0]]
    for number, (own, weight) in enumerate(zip(exits[1:], weights, strict=True), 1):
        if not weight:
            found.append(own)
            continue
        told = graph.add(ops.Mul(), found[-1], graph.constant(torch.tensor(weight), f"exits.{number}.share"), name="told")
        found.append(graph.add(ops.Add(), own, told, name="together"))
    return found
