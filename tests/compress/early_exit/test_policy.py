"""Thresholds reach the goal at the least cost; temperatures make probabilities honest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgekit.compress.early_exit.calibration import expected_calibration_error, fit_temperature, negative_log_likelihood
from edgekit.compress.early_exit.policy import CLOSED, Goal, Seen, choose, leaves_at, worth


def seen(samples: int, exits: int = 2, seed: int = 0) -> Seen:
    """Exits that are the surer the easier a sample is, and later ones more often right."""
    random = np.random.default_rng(seed)
    ease = random.random(samples)
    skill = np.linspace(0.1, 0.4, exits + 1)[:, None]
    right = random.random((exits + 1, samples)) < np.clip(ease + skill, 0, 1)
    scores = np.clip(ease + random.normal(0, 0.2, (exits, samples)), 0.001, 0.999)
    return Seen(scores, right, np.linspace(0.2, 1.0, exits + 1))


def by_trying_all(of: Seen, goal: Goal) -> tuple[float, float]:
    columns = []
    for row in of.scores:
        ordered = np.sort(row)
        columns.append([0.0, *((ordered[:-1] + ordered[1:]) / 2), CLOSED])
    return min(worth(of, goal, np.array(point)) for point in itertools.product(*columns))


@pytest.mark.parametrize("goal", [Goal(0.0, None), Goal(0.03, None), Goal(0.05, None, 1.0), Goal(None, 0.5), Goal(None, 0.21)])
def test_one_exit_gets_the_best_threshold_there_is(goal: Goal) -> None:
    for seed in range(5):
        given = seen(120, 1, seed)
        assert worth(given, goal, choose(given, goal)) == pytest.approx(by_trying_all(given, goal))


@pytest.mark.parametrize("goal", [Goal(0.03, None), Goal(None, 0.5)])
def test_two_exits_come_close_to_the_best_pair_and_keep_the_goal(goal: Goal) -> None:
    for seed in range(5):
        given = seen(60, 2, seed)
        missed, least = worth(given, goal, choose(given, goal))
        best = by_trying_all(given, goal)
        assert missed == best[0] == 0.0 and least <= best[1] + 0.03


def test_an_exit_that_the_goal_leaves_no_room_for_is_closed() -> None:
    given = seen(200, 1)
    wrong = Seen(given.scores, np.stack([np.zeros(200, bool), np.ones(200, bool)]), given.costs)
    assert choose(wrong, Goal(0.0, None)).tolist() == [CLOSED]
    assert set(leaves_at(wrong, choose(wrong, Goal(0.0, None)))) == {1}


def test_thresholds_lie_between_scores_so_that_rounding_decides_nothing() -> None:
    given = seen(300, 2)
    for row, threshold in zip(given.scores, choose(given, Goal(0.02, None)), strict=True):
        assert np.abs(row - threshold).min() > 1e-7
        assert threshold == np.float32(threshold)


def test_caution_leaves_fewer_early() -> None:
    given = seen(400, 1)
    bold, careful = (choose(given, Goal(0.02, None, caution)) for caution in (0.0, 2.0))
    assert careful[0] > bold[0]


def test_the_temperature_undoes_a_factor_of_the_logits() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 5))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([random.choice(5, p=row) for row in p])
    assert fit_temperature(3.0 * logits, labels) == pytest.approx(3.0, rel=0.1)
    fitted = fit_temperature(3.0 * logits, labels)
    grid = min(np.linspace(0.5, 8, 400), key=lambda t: negative_log_likelihood(3.0 * logits, labels, t))
    assert fitted == pytest.approx(grid, rel=0.02)
    surest, right = p.max(1), p.argmax(1) == labels
    assert expected_calibration_error(surest, right) < 0.03 < expected_calibration_error(surest**0.2, right)
