"""Choosing the precision of every layer: for a budget, or as many in float as the metric needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from edgekit.compress.mixed_precision.choice import Mixed
from edgekit.compress.mixed_precision.costs import FLOAT, INT8, W4A8
from edgekit.compress.mixed_precision.mixer import Mixer
from edgekit.compress.mixed_precision.solve import Problem, Solution, least_bytes, least_noise
from edgekit.errors import OverBudget, UsageError
from edgekit.ir import Graph
from edgekit.precision import Fallback, PrecisionBudget, PrecisionPlan

#: The metric of a graph in percentage points.
Score = Callable[[Graph], float]

#: Times that a budget of noise is corrected by what was measured.
_ROUNDS = 6


def choose(mixer: Mixer, budget: PrecisionBudget, score: Score | None = None, *, problem: Problem | None = None) -> Mixed:
    """The precision of every layer for a budget; ``problem``: the mixer's own, where it has been measured before.

    Raises:
        UsageError: ``max_drop`` without a metric.
        OverBudget: nothing that is allowed keeps it.
    """
    if budget.max_drop is not None:
        return _for_drop(mixer, problem, budget.max_drop, _needed(score))
    problem = problem or mixer.problem()
    if budget.min_sqnr_db is not None:
        return _for_sqnr(mixer, problem, budget.min_sqnr_db)
    assert budget.bytes is not None
    found = least_noise(problem, budget.bytes)
    if found is None:
        least = f"the layers take at least {problem.least_bytes():,.0f}"
        raise mixer.infeasible(f"{budget.bytes:,} bytes", least, "a budget of more bytes")
    return mixer.chosen(problem, found)


def _for_sqnr(mixer: Mixer, problem: Problem, wanted: float) -> Mixed:
    """The least bytes found whose measured error is small enough.

    Errors are not quite independent: the budget of noise is corrected by what the last choice came to, both ways.
    """
    budget, best, seen = 10.0 ** (-wanted / 10.0), None, dict[tuple[int, ...], Mixed]()
    for _ in range(_ROUNDS):
        found = least_bytes(problem, budget) or _finest(problem)  # the least noise that there is, measured all the same
        if found.chosen in seen:
            break
        mixed = seen[found.chosen] = mixer.chosen(problem, found)
        if mixed.sqnr_db >= wanted and (best is None or mixed.bytes < best.bytes):
            best = mixed
        margin = 0.1 if mixed.sqnr_db < wanted else 0.0
        budget = max(budget, 1e-30) * 10.0 ** ((mixed.sqnr_db - wanted - margin) / 10.0)
    if best is None:
        finest = _finest(problem)
        best = seen.get(finest.chosen) or mixer.chosen(problem, finest)
        reached = max([best, *seen.values()], key=lambda mixed: mixed.sqnr_db).sqnr_db
        if reached < wanted:
            most = f"{reached:.1f} dB is the most that was reached"
            raise mixer.infeasible(f"an SQNR of {wanted:g} dB", most, "a budget of fewer decibels")
    return best


def _finest(problem: Problem) -> Solution:
    """The choice with the least noise, whatever its bytes."""
    found = least_noise(problem, math.inf)
    assert found is not None
    return found


def _for_drop(mixer: Mixer, measured: Problem | None, limit: float, score: Score) -> Mixed:
    """Bisects the noise budget between the most that any choice makes and the least that there is."""
    problem = measured or mixer.problem()
    before = score(mixer.graph)

    def tried(found: Solution | None) -> Mixed | None:
        if found is None:
            return None
        mixed = mixer.chosen(problem, found)
        return replace(mixed, drop=before - score(mixer.quantized(mixed.plan)))

    def kept(mixed: Mixed | None) -> bool:
        return mixed is not None and mixed.drop is not None and mixed.drop <= limit

    finest = _finest(problem)
    low = problem.noise(finest.chosen) * 1.001
    high = problem.noise([min(range(len(row)), key=lambda i: row[i].bytes) for row in problem.layers]) * 1.001
    if kept(coarsest := tried(least_bytes(problem, high))):
        assert coarsest is not None
        return coarsest
    best = tried(finest)
    assert best is not None and best.drop is not None
    if not kept(best):
        least = f"{best.drop:.2f} points is the least that was reached"
        raise mixer.infeasible(f"a drop of at most {limit:g} points", least, "a budget of more points")
    for _ in range(_ROUNDS):
        middle = math.sqrt(low * high)
        found = tried(least_bytes(problem, middle))
        if kept(found):
            low, best = middle, found
        else:
            high = middle
    assert best is not None
    return best


def fall_back(mixer: Mixer, fallback: Fallback, score: Score | None = None) -> Mixed:
    """All layers as they are by default, but as few as it takes in float: those whose rounding costs the outputs most.

    Raises:
        UsageError: no metric, or a runtime without float layers.
        OverBudget: the metric drops more even with all of them in float.
    """
    if not mixer.policy.islands:
        raise UsageError(
            f"{mixer.policy.title} has no float layers to fall back to",
            where="[quantization] fallback",
            hint="the target tflite-int8, or the step 'qat' with runtime = \"tflite-micro\"",
        )
    measured = _needed(score)
    problem = mixer.problem()
    before = measured(mixer.graph)
    worst = sorted(range(len(mixer.nodes)), key=lambda index: -_cost(mixer, problem, index))

    def plan_with(count: int) -> PrecisionPlan:
        return mixer.plan({mixer.names[index]: FLOAT for index in worst[:count]})

    drops: dict[int, float] = {}

    def kept(count: int) -> bool:
        drops[count] = before - measured(mixer.quantized(plan_with(count)))
        return drops[count] <= fallback.max_drop

    low, high = 0, len(worst)
    if kept(0):
        high = 0
    elif not kept(high):
        raise OverBudget(
            f"with every layer in float the metric still drops by {drops[high]:.2f} points, not {fallback.max_drop:g}",
            where="[quantization] fallback",
            hint="calibrate with more typical data: what is left is the rounding of inputs and of sums",
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if kept(middle) else (middle, high)
    mixer.tried += len(drops) - 1
    return replace(mixer.described(plan_with(high), problem), drop=drops[high])


def _cost(mixer: Mixer, problem: Problem, index: int) -> float:
    """The noise of a layer as it is by default: its weight's, and that of its output in 8 bits."""
    own = W4A8 if mixer.fixed.default.weights == "int4" and W4A8 in mixer.candidates[index] else INT8
    weight = problem.layers[index][mixer.candidates[index].index(own)].noise
    return weight + sum(noise for noise, around in problem.values if around[0] == index)


def _needed(score: Score | None) -> Score:
    if score is None:
        raise UsageError(
            "'max_drop' needs a metric",
            where="[quantization]",
            hint="evaluate = DATA: inputs with labels (.npz), held out; or a budget of bytes or of min_sqnr_db",
        )
    return score
