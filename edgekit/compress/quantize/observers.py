"""From what calibration saw to a range: which reals the integers of an activation should cover."""

from __future__ import annotations

import torch

from edgekit.compress.quantize.statistics import Statistics

#: Steps of the grid on which the mean-squared-error observer searches, per end.
_CANDIDATES = 40

#: Names that recipes and ``[quantization] observer`` may give. "output_error" is in sensitivity.py: it needs gradients.
OBSERVERS = ("min_max", "percentile", "mse", "output_error")


def min_max(stats: Statistics) -> tuple[float, float]:
    """All that was seen."""
    return stats.low, stats.high


def percentile(stats: Statistics, share: float = 0.99999) -> tuple[float, float]:
    """The smallest range that leaves out at most ``1 - share`` of the elements at either end."""
    total = float(stats.histogram.sum())
    if total == 0.0:
        return stats.low, stats.high
    cumulated = torch.cumsum(stats.histogram, 0)
    width = (stats.high - stats.low) / len(stats.histogram)
    below = int(torch.searchsorted(cumulated, (1.0 - share) * total))
    above = int(torch.searchsorted(cumulated, share * total))
    return stats.low + width * below, stats.low + width * (above + 1)


def mse(stats: Statistics, levels: int = 256) -> tuple[float, float]:
    """The range with the least mean squared error of rounding to ``levels`` steps plus clipping.

    Rounding error inside the range is step^2 / 12 per element; outside it is the squared distance to the range's end. The
    ends are searched one after the other on a grid that shrinks them towards zero, which every range contains.
    """
    if float(stats.histogram.sum()) == 0.0:
        return stats.low, stats.high
    x, weight = stats.centres(), stats.histogram
    low, high = min(stats.low, 0.0), max(stats.high, 0.0)

    def error(lows: torch.Tensor, highs: torch.Tensor) -> torch.Tensor:
        step = (highs - lows) / (levels - 1)
        outside = torch.clamp(lows[:, None] - x, min=0.0) + torch.clamp(x - highs[:, None], min=0.0)
        inside = (outside == 0.0).double()
        return (weight * (outside**2 + inside * (step**2 / 12.0)[:, None])).sum(1)

    shrink = torch.linspace(1.0, 0.3, _CANDIDATES, dtype=torch.float64)
    for _ in range(2):
        if high > 0.0:
            highs = max(stats.high, 0.0) * shrink
            high = float(highs[int(torch.argmin(error(torch.full_like(highs, low), highs)))])
        if low < 0.0:
            lows = min(stats.low, 0.0) * shrink
            low = float(lows[int(torch.argmin(error(lows, torch.full_like(lows, high))))])
    return low, high
