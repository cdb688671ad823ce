"""What exits come to on labelled samples: rates, accuracies, and the cost of a sample that depends on the sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.compress.early_exit.calibration import expected_calibration_error
from edgekit.compress.early_exit.policy import Goal, Seen, choose, leaves_at

Array = NDArray[np.float64]

#: Points of a curve of top-1 against mean cost.
_POINTS = 12


def summary(seen: Seen, thresholds: Array, names: Sequence[str], macs: Sequence[int]) -> dict[str, Any]:
    """Plain data for a record.

    Args:
        seen: on some labelled samples.
        thresholds: of the exits.
        names: of the exits, the last one's too.
        macs: of a sample that leaves at each.
    """
    place = leaves_at(seen, thresholds)
    right = seen.right[place, np.arange(seen.samples)]
    rows = []
    for index, name in enumerate(names):
        here = place == index
        rows.append(
            {
                "name": name,
                "rate": float(here.mean()),
                "top1_alone": float(seen.right[index].mean()),
                "top1_of_those": float(right[here].mean()) if here.any() else None,
                "macs": int(macs[index]),
                "share": float(seen.costs[index]),
            }
        )
    shares = seen.costs[place]
    p90 = float(np.quantile(shares, 0.9, method="inverted_cdf"))
    return {
        "samples": seen.samples,
        "top1": float(right.mean()),
        "top1_of_last": float(seen.alone.mean()),
        "exits": rows,
        "cost": {"mean": float(shares.mean()), "p90": p90, "worst": float(seen.costs[-1])},
    }


def curve(chosen_on: Seen, shown_on: Seen) -> list[dict[str, float]]:
    """Top-1 against mean cost: thresholds chosen on the one for many goals of cost, measured on the other."""
    least = float(chosen_on.costs[0])
    points = []
    for goal in np.linspace(least, 1.0, _POINTS):
        thresholds = choose(chosen_on, Goal(None, float(goal)))
        place = leaves_at(shown_on, thresholds)
        right = shown_on.right[place, np.arange(shown_on.samples)]
        points.append({"mean_cost": float(shown_on.costs[place].mean()), "top1": float(right.mean())})
    return [p for number, p in enumerate(points) if p not in points[:number]]


def calibration_errors(logits: Array, labels: NDArray[np.int64], temperature: float) -> dict[str, float]:
    """Expected calibration error before and after the temperature."""
    found = {}
    for key, divisor in (("ece_before", 1.0), ("ece_after", temperature)):
        scaled = logits / divisor
        p = np.exp(scaled - scaled.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        found[key] = expected_calibration_error(p.max(1), p.argmax(1) == labels)
    return found
