"""What was chosen for each layer and what it costs, for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.compress.mixed_precision.costs import CORES
from edgekit.precision import LayerPrecision, Precision, PrecisionPlan


@dataclass(frozen=True)
class LayerChoice:
    """One layer.

    Attributes:
        layer: the name of its weight.
        precision: its types.
        noise_db: of its weight alone in these types, relative to the outputs' signal (dB, negative; None: it is float).
        bytes: of its weight, bias and scales.
        int8_bytes: what they would be in int8.
        slowdown: times the instructions of int8, on the emulated core where it is most; None where it was not counted.
    """

    layer: str
    precision: Precision
    noise_db: float | None
    bytes: int
    int8_bytes: int
    slowdown: float | None

    def __str__(self) -> str:
        price = "at a cost that was not counted" if self.slowdown is None else f"{self.slowdown:.2f} times int8's instructions"
        return f"{self.layer}: {self.precision}, {self.bytes:,} bytes ({self.int8_bytes:,} in int8), {price}"


@dataclass(frozen=True)
class Mixed:
    """A plan with every layer's choice.

    Attributes:
        plan: for the quantiser.
        choices: in the order of the graph.
        predicted_sqnr_db: of the outputs, if errors were independent; None where the metric decided.
        sqnr_db: measured, of the fake-quantised graph on the calibration data.
        drop: of the metric in percentage points, where one was measured.
        tried: how many plans were measured.
        gap: share by which another choice may be better, where the solver ran out of time.
    """

    plan: PrecisionPlan
    choices: tuple[LayerChoice, ...]
    predicted_sqnr_db: float | None
    sqnr_db: float
    drop: float | None = None
    tried: int = 1
    gap: float = 0.0

    @property
    def bytes(self) -> int:
        """Of all layers."""
        return sum(choice.bytes for choice in self.choices)

    def slower(self) -> tuple[LayerChoice, ...]:
        """The layers whose choice makes the runtime slower than int8 would be, or may do so."""
        return tuple(c for c in self.choices if c.precision != Precision() and (c.slowdown is None or c.slowdown > 1.05))

    def warnings(self) -> tuple[str, ...]:
        """What is not as good as it might be."""
        if not self.gap:
            return ()
        return (f"the solver ran out of time: another choice of precisions may be {100 * self.gap:.1f} % better",)

    def lines(self) -> tuple[str, ...]:
        """What a reader must know: every layer that is not int8, its price, and where the figures are from."""
        others = [choice for choice in self.choices if choice.precision != Precision()]
        if not others:
            return ("all layers are int8",)
        return (*map(str, others), f"instructions: the larger of {' and '.join(CORES)}, emulated, in LiteRT")


def plan_of(default: Precision, choices: Mapping[str, Precision]) -> PrecisionPlan:
    """A plan that names the layers that differ from the default."""
    named = {
        name: LayerPrecision(precision.weights, precision.activations)
        for name, precision in choices.items()
        if precision != default
    }
    return PrecisionPlan(default, named)
