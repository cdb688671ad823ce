"""Ranges from statistics, against what a search over the raw data finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.compress.quantize.observers import min_max, mse, percentile
from edgekit.compress.quantize.post_training import PostTraining
from edgekit.compress.quantize.statistics import BINS, Statistics
from edgekit.errors import UsageError


def statistics(data: torch.Tensor) -> Statistics:
    low, high = float(data.min()), float(data.max())
    return Statistics(low, high, torch.histc(data, BINS, low, high).double())


def samples(kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(20_000, generator=generator)
    return {
        "normal": normal,
        "rectified": normal.relu(),
        "shifted": normal + 3,
        "heavy tails": normal.sign() * normal.abs() ** 4,
        "one outlier": torch.cat([normal, torch.tensor([60.0])]),
        "negative": -normal.abs() - 0.2,
    }[kind]


KINDS = ["normal", "rectified", "shifted", "heavy tails", "one outlier", "negative"]


@pytest.mark.parametrize("kind", KINDS)
def test_min_max_is_all_that_was_seen(kind: str) -> None:
    data = samples(kind)
    assert min_max(statistics(data)) == (float(data.min()), float(data.max()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.99, 0.999, 0.99999, 1.0])
def test_a_percentile_leaves_out_no_more_than_its_share_at_either_end(kind: str, share: float) -> None:
    data = samples(kind)
    seen = statistics(data)
    low, high = percentile(seen, share)
    allowed = (1.0 - share) * len(data)
    assert int((data < low).sum()) <= allowed + 1e-9 and int((data > high).sum()) <= allowed + 1e-9
    # and it is the smallest such range on the histogram's grid
    width = (seen.high - seen.low) / BINS
    wanted_low, wanted_high = np.quantile(data.numpy(), [1.0 - share, share], method="closest_observation")
    assert low >= wanted_low - 2 * width and high <= wanted_high + 2 * width


def true_error(data: torch.Tensor, low: float, high: float) -> float:
    """Mean squared error of really rounding the data to 256 steps of a range."""
    step = (high - low) / 255
    rounded = low + torch.round((data - low) / step).clamp(0, 255) * step
    return float((rounded - data).square().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_the_mse_observer_is_as_good_as_a_search_over_the_data(kind: str) -> None:
    data = samples(kind).double()
    low, high = mse(statistics(data.float()))
    assert low <= 0.0 <= high
    found = true_error(data, low, high)
    low_end, high_end = min(float(data.min()), 0.0), max(float(data.max()), 0.0)
    grid = [0.04 * i for i in range(1, 26)]
    pairs = [(a * low_end, b * high_end) for a in (grid if low_end else [0.0]) for b in (grid if high_end else [0.0])]
    assert found <= 1.05 * min(true_error(data, *pair) for pair in pairs)


def test_a_constant_value_keeps_its_range() -> None:
    nothing = Statistics(0.5, 0.5)
    assert percentile(nothing) == mse(nothing) == (0.5, 0.5)


def test_an_unknown_observer_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="unknown observer 'entropy'") as error:
        PostTraining(observer="entropy")
    assert error.value.hint == "choose from min_max, percentile, mse, output_error"
