"""Where two graphs that should compute the same begin to differ: the error of every value that both have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Value
from edgekit.metrics import decibels


@dataclass(frozen=True)
class LayerError:
    """The error of one value over all samples; formulas as in ``edgekit.metrics``."""

    sqnr_db: float
    max_abs_error: float


@dataclass
class _Sums:
    signal: float = 0.0
    noise: float = 0.0
    largest: float = 0.0


def layer_errors(reference: Graph, other: Graph, batches: Iterable[list[torch.Tensor]]) -> dict[str, LayerError]:
    """Runs both graphs (float, with fake quantisation where ``quant`` is set) and compares the values that have one name in
    both.

    Args:
        reference: what the values should be.
        other: a graph with the same inputs, for example after a pass or quantised.
        batches: inputs in the graphs' order, batch by batch. At most one batch's values are in memory.

    Returns:
        For each common floating-point value that is computed with the same shape in both, in the order of ``other``, its error.
    """
    sums: dict[str, _Sums] = {}
    first, second = reference.module().eval(), other.module().eval()
    common = {v.name for v in other.values()}
    with torch.no_grad():
        for batch in batches:
            seen: dict[str, torch.Tensor] = {}

            def remember(value: Value, tensor: torch.Tensor, seen: dict[str, torch.Tensor] = seen) -> None:
                if value.name in common and tensor.is_floating_point():
                    seen[value.name] = tensor

            def compare(value: Value, tensor: torch.Tensor, seen: dict[str, torch.Tensor] = seen) -> None:
                expected = seen.pop(value.name, None)
                if value.producer is not None and expected is not None and expected.shape == tensor.shape:
                    _add(sums.setdefault(value.name, _Sums()), expected, tensor)

            first.run(batch, observe=remember)
            second.run(batch, observe=compare)
    return {name: LayerError(decibels(s.signal, s.noise), s.largest) for name, s in sums.items()}


def _add(sums: _Sums, expected: torch.Tensor, actual: torch.Tensor) -> None:
    if not expected.numel():
        return
    difference = expected - actual
    signal, noise = energy(expected), energy(difference)
    largest = max(abs(float(t)) for t in torch.aminmax(difference))
    sums.signal += signal
    sums.noise += noise if noise == noise else float("inf")
    sums.largest = max(sums.largest, largest if largest == largest else float("inf"))


def energy(x: torch.Tensor) -> float:
    """Sum of squares; in double precision only where single precision has no room for it."""
    norm = float(torch.linalg.vector_norm(x.float()))
    return (norm if math.isfinite(norm) else float(torch.linalg.vector_norm(x.double()))) ** 2
