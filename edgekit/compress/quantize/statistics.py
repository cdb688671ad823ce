"""What calibration sees: the range and the histogram of every activation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from edgekit.compress.quantize.params import span
from edgekit.errors import InputError
from edgekit.ir import Graph, Value, ops
from edgekit.ir.types import Batch, where_text

#: Bins of a histogram over [min, max].
BINS = 2048

#: What a sample's range adds to the moving average: 1 %, as in torch's ``MovingAverageMinMaxObserver``.
MOMENTUM = 0.01


@dataclass
class Statistics:
    """Range and histogram of one value over all calibration samples.

    ``least_peak``: for the output of a softmax, the smallest of its rows' largest elements (0 for other values). ``moving``:
    moving averages of the samples' own lowest and highest elements, where they were asked for.
    """

    low: float
    high: float
    histogram: torch.Tensor = field(default_factory=lambda: torch.zeros(BINS, dtype=torch.float64))
    least_peak: float = 0.0
    moving: tuple[float, float] | None = None

    def merge(self, other: Statistics) -> Statistics:
        """Statistics of two values that must share one scale: the joint range, histograms re-binned at bin centres."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        joint = Statistics(low, high)
        if self.moving is not None or other.moving is not None:
            (a, b), (c, d) = (part.moving or (part.low, part.high) for part in (self, other))
            joint.moving = min(a, c), max(b, d)
        width = (high - low) / BINS
        for part in (self, other):
            if width > 0.0:
                index = ((part.centres() - low) / width).long().clamp(0, BINS - 1)
                joint.histogram.index_add_(0, index, part.histogram)
        return joint

    def centres(self) -> torch.Tensor:
        """Centre of every bin (float64)."""
        width = (self.high - self.low) / BINS
        return self.low + width * (torch.arange(BINS, dtype=torch.float64) + 0.5)


def collect(
    graph: Graph, batches: Sequence[list[torch.Tensor]], *, histograms: bool, moving: bool = False
) -> dict[int, Statistics]:
    """Statistics of every computed float value and every float input, by ``id(value)``.

    Args:
        graph: runs as it is; nothing in it is changed.
        batches: graph inputs, batch by batch.
        histograms: run twice and fill the histograms (min-max needs none).
        moving: take the moving averages of the samples' ranges, in the order of the samples.

    Raises:
        InputError: a value is NaN for this data, with the first value where it happens.
    """
    module = graph.module().eval()
    found: dict[int, Statistics] = {}

    def peak(value: Value, tensor: torch.Tensor) -> float:
        op = None if value.producer is None else value.producer.op
        return float(tensor.amax(op.axis).min()) if isinstance(op, ops.Softmax) and tensor.numel() else 0.0

    def see_range(value: Value, tensor: torch.Tensor) -> None:
        if not tensor.dtype.is_floating_point:
            return
        low, high = span(tensor) if tensor.numel() else (0.0, 0.0)
        if math.isnan(low) or math.isnan(high):
            raise _not_a_number(value, "NaN")
        known = found.get(id(value))
        least = peak(value, tensor)
        if known is not None:
            low, high, least = min(low, known.low), max(high, known.high), min(least, known.least_peak)
        before = None if known is None else known.moving
        found[id(value)] = Statistics(low, high, least_peak=least, moving=_moved(before, value, tensor) if moving else None)

    def see_histogram(value: Value, tensor: torch.Tensor) -> None:
        stats = found.get(id(value))
        if stats is not None and math.inf > stats.high > stats.low > -math.inf:
            counts = torch.histc(tensor.detach().float(), BINS, stats.low, stats.high)
            stats.histogram += counts.double()

    with torch.no_grad():
        for batch in batches:
            module.run(batch, see_range)
        if histograms:
            for batch in batches:
                module.run(batch, see_histogram)
    return found


def _moved(before: tuple[float, float] | None, value: Value, tensor: torch.Tensor) -> tuple[float, float]:
    """The moving averages after the samples of one batch; what depends on no batch is one sample."""
    first = value.type.shape[0] if value.type.shape else 1
    rows = first.multiple if isinstance(first, Batch) else tensor.shape[0] if tensor.dim() else 1
    samples = tensor.detach().reshape(max(tensor.shape[0] // rows, 1) if tensor.dim() else 1, -1)
    for low, high in zip(samples.amin(1).tolist(), samples.amax(1).tolist(), strict=True):
        if before is None:
            before = low, high
        else:
            before = before[0] + MOMENTUM * (low - before[0]), before[1] + MOMENTUM * (high - before[1])
    return before or (0.0, 0.0)


def require_finite(values: Iterable[Value], stats: Mapping[int, Statistics]) -> None:
    """InputError for the first value with an infinite range: integers can't hold it (a float mask of -inf can stay float)."""
    for value in values:
        seen = stats.get(id(value))
        if seen is not None and (math.isinf(seen.low) or math.isinf(seen.high)):
            raise _not_a_number(value, "infinite")


def _not_a_number(value: Value, what: str) -> InputError:
    return InputError(
        f"the value '{value.name}' becomes {what} on the calibration data",
        where=where_text(value.producer.where) if value.producer else f"input '{value.name}'",
        hint="check the data's range and preprocessing, and the model's float output on one sample",
    )
