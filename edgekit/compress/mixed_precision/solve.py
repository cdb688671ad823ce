"""The choice of one option a layer as an integer linear program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.errors import OverBudget

#: Seconds that one program may take; a network's takes hundredths.
TIME_LIMIT = 20.0

#: HiGHS' status of a program that has no solution, and of one that ran out of time.
_INFEASIBLE, _OUT_OF_TIME = 2, 1


@dataclass(frozen=True)
class Option:
    """What one layer could be.

    Attributes:
        bytes: in the file.
        instructions: of one sample; what decides between options of equal bytes.
        noise: of rounding its weight, in power relative to the outputs' signal.
        coarse: what it reads and gives is held in 8 bits.
    """

    bytes: float
    instructions: float
    noise: float
    coarse: bool = True


@dataclass(frozen=True)
class Problem:
    """Layers with their options, and the activations between them.

    Attributes:
        layers: the options of each layer.
        values: noise of holding a layer's output in 8 bits, and the layers (by index) that give and read it; it is in 8 bits
            as soon as one of them is coarse.
        base: noise of everything that is not chosen.
    """

    layers: Sequence[Sequence[Option]]
    values: Sequence[tuple[float, tuple[int, ...]]] = ()
    base: float = 0.0

    def noise(self, chosen: Sequence[int]) -> float:
        """All noise of a choice: powers add up where errors are independent."""
        options = [layer[index] for layer, index in zip(self.layers, chosen, strict=True)]
        held = sum(noise for noise, around in self.values if any(options[i].coarse for i in around))
        return self.base + held + sum(option.noise for option in options)

    def bytes(self, chosen: Sequence[int]) -> float:
        """All bytes of a choice."""
        return sum(layer[index].bytes for layer, index in zip(self.layers, chosen, strict=True))

    def least_bytes(self) -> float:
        """Of the smallest options of all layers."""
        return sum(min(option.bytes for option in layer) for layer in self.layers)


@dataclass(frozen=True)
class Solution:
    """One option a layer.

    Attributes:
        chosen: the option's index, layer by layer.
        gap: share by which a better choice may be better still; 0 where there is none, more where the time ran out.
    """

    chosen: tuple[int, ...]
    gap: float = 0.0


def least_noise(problem: Problem, bytes: float) -> Solution | None:
    """The options with the least noise in all that fit so many bytes; None where nothing does.

    Raises:
        OverBudget: the solver found neither a choice nor that there is none.
    """
    return _solve(problem, objective="noise", limit=bytes)


def least_bytes(problem: Problem, noise: float) -> Solution | None:
    """The options with the least bytes in all whose noise is at most this; None where there are none.

    Among equal bytes, the least instructions.

    Raises:
        OverBudget: the solver found neither a choice nor that there is none.
    """
    return _solve(problem, objective="bytes", limit=noise)


def _solve(problem: Problem, objective: str, limit: float) -> Solution | None:
    """Binary x, one a layer and option; z between 0 and 1, one an activation, at least every coarse x around it."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    options = [(index, option) for index, layer in enumerate(problem.layers) for option in layer]
    count, size = len(options), len(options) + len(problem.values)
    noises = np.array([option.noise for _, option in options] + [noise for noise, _ in problem.values])
    most = max(noises.max(initial=0.0), 1e-300)
    sizes = np.array([option.bytes for _, option in options] + [0.0] * len(problem.values))
    work = np.array([option.instructions for _, option in options] + [0.0] * len(problem.values))
    tie = work / max(work.sum(), 1.0)  # below one byte in all
    if objective == "noise":
        cost, rows, ends = noises / most + 1e-9 * tie, sizes, limit
    else:
        cost, rows, ends = sizes + 0.5 * tie, noises / most, (limit - problem.base) / most
    one = np.zeros((len(problem.layers), size))
    for place, (index, _) in enumerate(options):
        one[index, place] = 1.0
    held = [
        (place, count + number)
        for number, (_, around) in enumerate(problem.values)
        for place, (index, option) in enumerate(options)
        if option.coarse and index in around
    ]
    above = np.zeros((len(held), size))
    for row, (place, value) in enumerate(held):
        above[row, place], above[row, value] = 1.0, -1.0
    constraints = [LinearConstraint(one, 1.0, 1.0), LinearConstraint(rows[None, :], -np.inf, ends)]
    if held:
        constraints.append(LinearConstraint(above, -np.inf, 0.0))
    binary = np.concatenate([np.ones(count), np.zeros(len(problem.values))])
    options_of = {"mip_rel_gap": 0.0, "time_limit": TIME_LIMIT}
    found = milp(cost, constraints=constraints, integrality=binary, bounds=Bounds(0.0, 1.0), options=options_of)
    if found.x is None:
        if found.status == _INFEASIBLE:
            return None
        raise OverBudget(
            f"the solver found no choice of precisions in {TIME_LIMIT:g} seconds ({found.message.strip()})",
            where=f"[quantization] budget, over {len(problem.layers)} layers",
            hint="name the precisions of some layers in [quantization.layers]: fewer are left to choose",
        )
    ends_at = np.cumsum([len(layer) for layer in problem.layers])[:-1]
    chosen = tuple(int(np.argmax(part)) for part in np.split(found.x[:count], ends_at))
    return Solution(chosen, float(found.mip_gap) if found.status == _OUT_OF_TIME else 0.0)
