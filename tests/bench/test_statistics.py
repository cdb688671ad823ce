"""The estimate repeats, its interval covers, and a change is claimed only where there is one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from edgekit.bench.statistics import (
    Change,
    Estimate,
    change_of,
    estimate,
    ratio_of_rounds,
    ratio_of_sessions,
    spread,
)
from tests.bench.scripted import busy_machine


def test_the_estimate_is_the_median_and_one_outlier_does_not_move_it() -> None:
    assert estimate([5.0, 5.1, 5.2, 5.1, 900.0]).value == 5.1


def test_the_same_launches_give_the_same_interval_to_the_last_bit() -> None:
    values = [5.0, 5.3, 5.1, 5.6, 4.9]
    assert estimate(values, seed=3) == estimate(values, seed=3)


def test_an_interval_contains_its_estimate_and_is_empty_for_one_launch() -> None:
    one = estimate([7.0])
    assert (one.low, one.value, one.high, one.half_width) == (7.0, 7.0, 7.0, 0.0)
    many = estimate([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    assert many.low < many.value < many.high


def test_nothing_to_estimate_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="no launches"):
        estimate([])
    with pytest.raises(ValueError, match="same number of rounds"):
        ratio_of_rounds([1.0, 2.0], [1.0])


def test_the_95_percent_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for i in range(200):
        found = estimate(rng.lognormal(math.log(50), 0.15, size=15).tolist(), seed=i)
        hits += found.low <= 50 <= found.high
    assert 178 <= hits <= 200  # 95 % of 200 is 190; a percentile bootstrap of 15 values may miss a little more


def test_a_drift_that_meets_both_arms_leaves_their_ratio_alone() -> None:
    drift = [100.0 * 1.05**i for i in range(15)]
    ratio = ratio_of_rounds(drift, [value * 1.1 for value in drift])
    assert ratio.value == pytest.approx(1.1) and ratio.half_width < 1e-9


@pytest.mark.parametrize("ratio", [ratio_of_rounds, ratio_of_sessions])
def test_a_few_launches_claim_only_what_no_luck_explains(ratio: Callable[[list[float], list[float]], Estimate]) -> None:
    for count in range(1, 8):
        assert change_of(ratio([10.0] * count, [11.0] * count)) is Change.INCONCLUSIVE
        assert change_of(ratio([10.0] * count, [30.0] * count)) is Change.SLOWER
    assert change_of(ratio([10.0] * 8, [11.0] * 8)) is Change.SLOWER


def test_two_sessions_are_compared_by_their_medians() -> None:
    ratio = ratio_of_sessions([10.0] * 15, [12.0] * 15)
    assert (ratio.value, ratio.low, ratio.high) == (1.2, 1.2, 1.2)


@pytest.mark.parametrize(
    ("low", "high", "change"),
    [
        (1.03, 1.2, Change.SLOWER),
        (0.8, 0.97, Change.FASTER),
        (0.985, 1.019, Change.SAME),
        (1.01, 1.2, Change.INCONCLUSIVE),
        (0.9, 1.1, Change.INCONCLUSIVE),
    ],
)
def test_a_change_is_claimed_only_where_the_interval_excludes_two_per_cent(low: float, high: float, change: Change) -> None:
    assert change_of(Estimate(1.0, low, high, 0.99)) is change


def test_twenty_comparisons_of_a_file_with_itself_raise_no_alarm() -> None:
    for seed in range(20):
        first, second = busy_machine(seed)
        ratio = ratio_of_rounds([first(i) for i in range(40)], [second(i) for i in range(40)], seed=seed)
        assert change_of(ratio) in (Change.SAME, Change.INCONCLUSIVE), seed


def test_a_planted_slowdown_of_ten_per_cent_is_caught_in_nineteen_of_twenty() -> None:
    caught = 0
    for seed in range(20):
        first, second = busy_machine(seed)
        ratio = ratio_of_rounds([first(i) for i in range(40)], [1.1 * second(i) for i in range(40)], seed=seed)
        caught += change_of(ratio) is Change.SLOWER
    assert caught >= 19


def variation(values: list[float]) -> float:
    return float(np.std(values) / np.mean(values))


def test_the_scripted_machine_is_as_noisy_as_the_measured_one() -> None:
    single = [busy_machine(seed)[0](0) for seed in range(300)]
    medians_of_ten = [estimate([busy_machine(seed)[0](i) for i in range(10)]).value for seed in range(100)]
    assert 0.17 <= variation(single) <= 0.25
    assert 0.015 <= variation(medians_of_ten) <= 0.035


def test_the_headline_of_six_noisy_sessions_varies_by_less_than_three_per_cent() -> None:
    for block in range(20):
        sessions = range(1000 + 6 * block, 1006 + 6 * block)
        headlines = [estimate([busy_machine(seed)[0](i) for i in range(15)]).value for seed in sessions]
        assert variation(headlines) <= 0.03, block


def test_the_spread_ignores_a_single_outlier() -> None:
    assert spread([10.0] * 19 + [1000.0]) == 0.0
    assert spread([8.0, 9.0, 10.0, 11.0, 12.0]) == pytest.approx(0.32)
