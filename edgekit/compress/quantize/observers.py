"""From what calibration saw to a range: which reals the integers of an activation should cover."""

from __future__ import annotations

import torch

from edgekit.compress.quantize.entropy import entropy
from edgekit.compress.quantize.statistics import Statistics

#: Steps of the grid on which the mean-squared-error observer searches, per end.
_CANDIDATES = 80

#: Those that look at one value's statistics alone. "output_error" (sensitivity.py) needs gradients, "auto" (best_observer.py)
#: measures which of the others is best.
SIMPLE = ("min_max", "moving_average", "percentile", "mse", "entropy")

#: Names that recipes and ``[quantization] observer`` may give.
OBSERVERS = (*SIMPLE, "output_error", "auto")

#: Those that need a histogram.
NEED_HISTOGRAMS = ("percentile", "mse", "entropy", "auto")

#: Those that need the moving averages.
NEED_MOVING = ("moving_average", "auto")


def observe(name: str, stats: Statistics, share: float, levels: int = 256) -> tuple[float, float]:
    """The range that a simple observer gives for so many integers; ``share`` is the percentile's."""
    if name == "percentile":
        return percentile(stats, share)
    if name == "mse":
        return mse(stats, levels)
    if name == "entropy":
        return entropy(stats, levels)
    return {"min_max": min_max, "moving_average": moving_average}[name](stats)


def min_max(stats: Statistics) -> tuple[float, float]:
    """All that was seen."""
    return stats.low, stats.high


def moving_average(stats: Statistics) -> tuple[float, float]:
    """Exponential moving averages of the samples' own ranges (Jacob et al. 2018, arXiv:1712.05877, section 3.1)."""
    return stats.moving or (stats.low, stats.high)


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

    Rounding error inside the range is step^2 / 12 per element; outside it is the squared distance to the range's end. All pairs
    of ends on a grid that shrinks them towards zero, which every range contains, are compared.
    """
    total = float(stats.histogram.sum())
    if total == 0.0:
        return stats.low, stats.high
    lows, below, clipped_low = _ends(-stats.centres(), stats.histogram, -stats.low)
    highs, above, clipped_high = _ends(stats.centres(), stats.histogram, stats.high)
    step = (highs[None, :] + lows[:, None]) / (levels - 1)
    inside = total - below[:, None] - above[None, :]
    error = clipped_low[:, None] + clipped_high[None, :] + inside * step.square() / 12.0
    index = int(torch.argmin(error))
    return -float(lows[index // len(highs)]), float(highs[index % len(highs)])


def _ends(x: torch.Tensor, weight: torch.Tensor, end: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Candidates for the upper end of a range, the elements beyond each and the sum of their squared distances to it."""
    if end <= 0.0:
        return torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    ends = end * torch.linspace(1.0, 1.0 / _CANDIDATES, _CANDIDATES, dtype=torch.float64)
    distance = (x - ends[:, None]).clamp(min=0.0)
    return ends, (weight * (distance > 0.0)).sum(1), (weight * distance.square()).sum(1)
