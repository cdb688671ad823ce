"""What samples cost in a file with early exits: where each of the user's samples leaves, and how long its calls took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgekit.bench.runner import RunnerError, make_inputs, read_npz
from edgekit.errors import InputError, UsageError
from edgekit.runtime.exits_taken import Taken, Telling
from edgekit.runtime.litert import Kernels

#: Samples that are looked at, at most.
_MOST = 10_000

#: What labels are called in an .npz.
_LABELS = ("y", "y_test", "y_train")


@dataclass(frozen=True)
class ExitCosts:
    """Samples by the exit that answers them, the whole network last.

    Attributes:
        samples: how many there are.
        rates: share of them that leaves at each exit.
        top1: of all, where the file of samples has labels and the network one output.
        top1_of_those: of those that leave at each exit; None where nobody does.
        us: median microseconds of calls that left there; None where none was timed. Empty where nothing was.
    """

    samples: int
    rates: tuple[float, ...]
    top1: float | None = None
    top1_of_those: tuple[float | None, ...] = ()
    us: tuple[float | None, ...] = ()

    @property
    def mean_us(self) -> float | None:
        """Of one sample: rates times costs; None where a cost is not known."""
        taken = [(rate, us) for rate, us in zip(self.rates, self.us, strict=False) if rate]
        return sum(rate * us for rate, us in taken if us is not None) if taken and None not in (us for _, us in taken) else None

    @property
    def p90_us(self) -> float | None:
        """What nine samples of ten cost at most, likewise."""
        total = 0.0
        if self.mean_us is None:
            return None
        for us, rate in sorted((us, rate) for us, rate in zip(self.us, self.rates, strict=True) if us is not None):
            total += rate
            if total >= 0.9 - 1e-9:
                return us
        return None

    @property
    def worst_us(self) -> float | None:
        """Of the whole network; None where no timed sample took it."""
        return self.us[-1] if self.us else None


def exit_costs(
    artifact: Path, samples: Path | None, kernels: str, rows_us: Sequence[Sequence[float | None]] = ()
) -> ExitCosts | None:
    """Runs the user's samples here, in the file's runtime, and adds up what their calls took where they were timed.

    Args:
        artifact: a .tflite or .onnx file.
        samples: the .npz that was given as inputs.
        kernels: of LiteRT.
        rows_us: of every launch the median call of the first samples.

    Returns:
        None for a file without early exits, or where its runtime is not installed here; no samples where none were given.

    Raises:
        InputError: the samples do not fit.
    """
    try:
        telling = Telling(artifact.read_bytes(), cast("Kernels", kernels))
    except (UsageError, InputError):  # the runtime is the device's alone; or runs what can't be read here
        return None
    if not telling.exits:
        return None
    if samples is None:
        return ExitCosts(0, ())
    try:
        data = read_npz(str(samples), "input") or {}
        specs = [(t.name, [n or 1 for n in t.shape], t.dtype, (t.scale or 0.0, t.zero_point)) for t in telling.inputs]
        taken = telling.run(make_inputs(specs, data, 0, _MOST))
    except RunnerError as error:
        hint = "--input FILE.npz with one array per input, named like the inputs"
        raise InputError(str(error), where=str(samples), hint=hint) from error
    right = _right(taken, data)
    parts = [] if right is None else [right[taken.places == exit] for exit in range(taken.exits)]
    return ExitCosts(
        len(taken.places),
        taken.rates,
        None if right is None else float(right.mean()),
        tuple(float(part.mean()) if len(part) else None for part in parts),
        _times(rows_us, taken),
    )


def _right(taken: Taken, data: Mapping[str, Any]) -> NDArray[np.bool_] | None:
    """Whether each sample's largest output is its label; None without labels, or where it is not clear of what they are."""
    labels = next((np.asarray(data[name]).reshape(-1) for name in _LABELS if name in data), None)
    if labels is None or labels.dtype.kind not in "iu" or any(len(answer) != 1 for answer in taken.answers):
        return None
    if len(labels) < len(taken.places):
        return None
    found: NDArray[np.bool_] = np.array([int(answer[0].argmax()) for answer in taken.answers]) == labels[: len(taken.places)]
    return found


def _times(rows_us: Sequence[Sequence[float | None]], taken: Taken) -> tuple[float | None, ...]:
    """Of each exit the median over launches of the median over samples that leave there."""
    found: list[float | None] = []
    for exit in range(taken.exits):
        launches = []
        for rows in rows_us:
            here = [us for us, place in zip(rows, taken.places, strict=False) if us is not None and place == exit]
            launches += [float(np.median(here))] if here else []
        found.append(float(np.median(launches)) if launches else None)
    return tuple(found) if any(us is not None for us in found) else ()
