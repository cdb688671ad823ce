"""What rounding and clipping one activation costs, as a function of its range: sums over its elements and their gradients."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

#: Ranges tried per end, as shares of the observed range.
SHARES = torch.linspace(0.4, 1.3, 91, dtype=torch.float64)


def _zeros() -> torch.Tensor:
    return torch.zeros(len(SHARES), dtype=torch.float64)


@dataclass
class End:
    """One end of a range: by share, the squared output error of clipping there, and how many elements lie beyond."""

    error: torch.Tensor = field(default_factory=_zeros)
    beyond: torch.Tensor = field(default_factory=_zeros)

    def add(self, other: End) -> None:
        """Sums two values, or two batches."""
        self.error = self.error + other.error
        self.beyond = self.beyond + other.beyond

    def unseen(self, end: float) -> torch.Tensor:
        """By share: mean squared distance by which one more element, beyond the largest seen, would be clipped."""
        at_least_ten = torch.nonzero(self.beyond >= 10).flatten()
        first = int(at_least_ten[-1]) if at_least_ten.numel() else 0
        spacing = abs(end) * float(SHARES[1] - SHARES[0])
        excess = spacing * float(self.beyond[first:].sum()) / max(float(self.beyond[first]), 1.0) + spacing
        inside = (1.0 - SHARES).clamp(min=0.0) * abs(end)
        outside = (SHARES - 1.0).clamp(min=0.0) * abs(end)
        return inside.square() + 2.0 * inside * excess + 2.0 * excess**2 * torch.exp(-outside / excess)


@dataclass
class Sensitivity:
    """Squared output error of one value over all samples: ``rounding`` per squared step / 12, and of either end."""

    rounding: float = 0.0
    elements: float = 0.0
    high: End = field(default_factory=End)
    low: End = field(default_factory=End)

    def add(self, other: Sensitivity) -> None:
        """Joins two values that share one range, or two batches."""
        self.rounding += other.rounding
        self.elements += other.elements
        self.high.add(other.high)
        self.low.add(other.low)


class Activation:
    """What the curves need of an activation, taken once for all gradients: where it is not zero, and its tails at both ends."""

    def __init__(self, x: torch.Tensor, low: float, high: float) -> None:
        """``x``: axis 0 is the sample. ``low``, ``high``: the observed range, whose shares are tried."""
        self._moving = torch.ne(x, 0, out=torch.empty_like(x))  # as numbers: products with truth values are slow
        self._elements = float(self._moving.sum(dtype=torch.float64))
        self._high = None if high <= 0.0 else _Tail(x > float(SHARES[0]) * high, x, high)
        self._low = None if low >= 0.0 else _Tail(x < float(SHARES[0]) * low, x, low)

    def curves(self, g: torch.Tensor, weight: float) -> Sensitivity:
        """The curves for one projection of the output, times ``weight``; ``g`` is its gradient by the activation."""
        rounding = float(torch.linalg.vector_norm(g * self._moving)) ** 2
        high, low = (End() if tail is None else tail.clipped(g, weight) for tail in (self._high, self._low))
        return Sensitivity(rounding * weight, self._elements * weight, high, low)


class _Tail:
    """The elements beyond the smallest limit of one end: only they are ever clipped, and they are few."""

    def __init__(self, beyond: torch.Tensor, x: torch.Tensor, end: float) -> None:
        self._samples, self._limits = x.shape[0], SHARES * end
        # numpy finds them in half of torch's time
        self._at = torch.from_numpy(np.flatnonzero(beyond.cpu().numpy()))
        self._values = _taken(x, self._at)
        step = float(SHARES[1] - SHARES[0])
        share = (self._values / end - float(SHARES[0])) / step
        bins = share.ceil().sub(1.0).clamp(0, len(SHARES) - 1).long()  # the largest limit below each value
        self._bins = self._at.div(max(x[0].numel(), 1), rounding_mode="floor") * len(SHARES) + bins
        self._beyond = _from_the_end(torch.bincount(bins, minlength=len(SHARES)).double())

    def clipped(self, g: torch.Tensor, weight: float) -> End:
        """By share s: sum over samples of (sum over x_i beyond s of g_i (s - x_i))^2 and the number of such x_i."""
        gradients = _taken(g, self._at)
        size = self._samples * len(SHARES)
        by_bin = [torch.bincount(self._bins, row, size) for row in (gradients, gradients * self._values)]
        above, moments = (_from_the_end(row.reshape(self._samples, len(SHARES))) for row in by_bin)
        return End((self._limits * above - moments).square().sum(0) * weight, self._beyond * weight)


def _taken(x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1).index_select(0, at.to(x.device)).double().cpu()


def _from_the_end(x: torch.Tensor) -> torch.Tensor:
    return x.flip(-1).cumsum(-1).flip(-1)
