"""The temperature of an exit: what its logits are divided by, so that its probabilities are as good as they can be."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Array = NDArray[np.float64]

#: Temperatures looked at: beyond them a network is sure of everything or of nothing.
LOWEST, HIGHEST = 0.05, 20.0


def negative_log_likelihood(logits: Array, labels: NDArray[np.int64], temperature: float = 1.0) -> float:
    """Mean of -log softmax(logits / temperature)[label]."""
    scaled = logits / temperature
    scaled = scaled - scaled.max(1, keepdims=True)
    logs = np.log(np.exp(scaled).sum(1))
    return float((logs - scaled[np.arange(len(labels)), labels]).mean())


def fit_temperature(logits: Array, labels: NDArray[np.int64]) -> float:
    """The temperature of least negative log likelihood (Guo et al., arXiv:1706.04599), in float32's digits.

    Args:
        logits: (samples, classes).
        labels: (samples,), classes' indices.
    """
    found = minimize_scalar(
        lambda log: negative_log_likelihood(logits, labels, math.exp(log)),
        bounds=(math.log(LOWEST), math.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.float32(math.exp(found.x)))


def expected_calibration_error(confidence: Array, is_right: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over equal bins of confidence, weighted by their samples."""
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for place in range(bins):
        here = places == place
        if here.any():
            total += abs(confidence[here].mean() - is_right[here].mean()) * here.mean()
    return float(total)
