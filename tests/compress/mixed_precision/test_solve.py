"""The integer program against trying every choice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgekit.compress.mixed_precision.solve import Option, Problem, Solution, least_bytes, least_noise
from edgekit.errors import OverBudget


def random_problem(seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    layers = [
        [
            Option(
                float(rng.integers(1, 200)),
                float(rng.integers(1, 9)),
                float(rng.random() * 10.0**-scale),
                bool(rng.random() < 0.6),
            )
            for scale in range(int(rng.integers(2, 5)))
        ]
        for _ in range(int(rng.integers(2, 5)))
    ]
    values = [
        (
            float(rng.random() * 0.1),
            tuple(sorted(rng.choice(len(layers), int(rng.integers(1, len(layers))), replace=False).tolist())),
        )
        for _ in range(3)
    ]
    return Problem(layers, values, float(rng.random() * 0.01))


def every_choice(problem: Problem) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(len(layer)) for layer in problem.layers)))


@pytest.mark.parametrize("seed", range(30))
def test_the_least_noise_for_so_many_bytes_is_found(seed: int) -> None:
    problem = random_problem(seed)
    sizes = sorted(problem.bytes(choice) for choice in every_choice(problem))
    limit = sizes[len(sizes) // 2]
    best = min(problem.noise(choice) for choice in every_choice(problem) if problem.bytes(choice) <= limit)
    found = least_noise(problem, limit)
    assert found is not None and found.gap == 0 and problem.bytes(found.chosen) <= limit
    assert problem.noise(found.chosen) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("seed", range(30))
def test_the_least_bytes_for_so_little_noise_are_found(seed: int) -> None:
    problem = random_problem(seed)
    noises = sorted(problem.noise(choice) for choice in every_choice(problem))
    limit = noises[len(noises) // 3] * (1 + 1e-6)
    best = min(problem.bytes(choice) for choice in every_choice(problem) if problem.noise(choice) <= limit)
    found = least_bytes(problem, limit)
    assert found is not None and problem.noise(found.chosen) <= limit * (1 + 1e-6)
    assert problem.bytes(found.chosen) == best


def test_among_equal_bytes_the_fewer_instructions_win() -> None:
    problem = Problem([[Option(10, 5, 0.1), Option(10, 3, 0.1), Option(10, 4, 0.0)]])
    assert least_bytes(problem, 1.0) == Solution((1,))


def test_what_no_choice_keeps_has_no_answer() -> None:
    problem = Problem([[Option(10, 1, 0.1), Option(5, 1, 0.2)]], base=0.05)
    assert least_noise(problem, 4.0) is None
    assert least_bytes(problem, 0.1) is None


def test_an_activation_costs_nothing_once_no_layer_around_it_is_coarse() -> None:
    fine, coarse = Option(10, 1, 0.0, coarse=False), Option(8, 1, 0.0, coarse=True)
    problem = Problem([[coarse, fine], [coarse, fine]], [(0.5, (0, 1))])
    assert problem.noise([0, 1]) == 0.5 and problem.noise([1, 1]) == 0.0
    assert least_bytes(problem, 0.1) == Solution((1, 1))
    assert least_bytes(problem, 0.6) == Solution((0, 0))


class Stopped:
    """What HiGHS gives when its time is up."""

    status, message = 1, "Time limit reached."

    def __init__(self, x: np.ndarray | None) -> None:
        self.x, self.mip_gap = x, 0.25


def test_a_choice_that_may_not_be_the_best_says_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem([[Option(4, 1, 0.1), Option(2, 1, 0.5)]])
    monkeypatch.setattr("scipy.optimize.milp", lambda *args, **options: Stopped(np.array([0.0, 1.0])))
    assert least_bytes(problem, 1.0) == Solution((1,), 0.25)


def test_a_program_without_an_answer_in_time_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scipy.optimize.milp", lambda *args, **options: Stopped(None))
    with pytest.raises(OverBudget, match="the solver found no choice of precisions in 20 seconds") as caught:
        least_bytes(Problem([[Option(4, 1, 0.1)]]), 1.0)
    assert "over 1 layers" in str(caught.value.where) and "[quantization.layers]" in str(caught.value.hint)
