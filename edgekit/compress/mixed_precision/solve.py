"""The choice of one option a layer as an integer linear program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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


def least_noise(problem: Problem, bytes: float) -> list[int] | None:
    """For each layer the option with the least noise in all that fits so many bytes; None where nothing does."""
    return _solve(problem, objective="noise", limit=bytes)


def least_bytes(problem: Problem, noise: float) -> list[int] | None:
    """For each layer the option with the least bytes in all whose noise is at most this; None where there is none.

    Among equal bytes, the least instructions.
    """
    return _solve(problem, objective="bytes", limit=noise)


def _solve(problem: Problem, objective: str, limit: float) -> list[int] | None:
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
    found = milp(cost, constraints=constraints, integrality=binary, bounds=Bounds(0.0, 1.0), options={"mip_rel_gap": 0.0})
    if found.x is None:
        return None
    chosen: list[int] = []
    start = 0
    for layer in problem.layers:
        chosen.append(int(np.argmax(found.x[start : start + len(layer)])))
        start += len(layer)
    return chosen
