"""Which types a layer is stored and computed in: plain data, for one layer and for a whole model.

A layer is named by its weight parameter (``layer3.0.conv1.weight``) or by a module that holds it (``layer3.0.conv1``,
``layer3``); the longest name that fits counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgekit.errors import UsageError
from edgekit.tables import did_you_mean

WeightType = Literal["float32", "float16", "int8", "int4"]
ActivationType = Literal["float32", "int8", "int16"]


@dataclass(frozen=True)
class Precision:
    """The types of a layer's weight, and of what it reads and gives.

    ``float32`` activations beside integer weights are the dynamic range form: the runtime quantises what the layer reads as
    it comes, or expands the weight.

    Raises:
        ValueError: integer activations with float weights, which no runtime computes.
    """

    weights: WeightType = "int8"
    activations: ActivationType = "int8"

    def __post_init__(self) -> None:
        if self.activations != "float32" and self.weights in ("float32", "float16"):
            raise ValueError(f"{self.activations} activations need integer weights, not {self.weights}")

    def __str__(self) -> str:
        return f"{self.weights} weights, {self.activations} activations"


@dataclass(frozen=True)
class LayerPrecision:
    """What is said about some layers: what is None stays as it is elsewhere in the model.

    Float weights alone mean float activations too.
    """

    weights: WeightType | None = None
    activations: ActivationType | None = None

    def __post_init__(self) -> None:
        if self.weights is None and self.activations is None:
            raise ValueError("a layer's precision says 'weights', 'activations' or both")
        self.over(Precision())  # refuses what no layer can have

    def over(self, default: Precision) -> Precision:
        """The precision of a layer that would otherwise have ``default``."""
        weights, activations = self.weights or default.weights, self.activations or default.activations
        if self.activations is None and weights in ("float32", "float16"):
            activations = "float32"
        if self.weights is None and activations != "float32" and weights in ("float32", "float16"):
            weights = "int8"
        return Precision(weights, activations)


@dataclass(frozen=True)
class PrecisionPlan:
    """The precision of every layer: ``default``, and what differs by name of a weight or of a module."""

    default: Precision = Precision()
    layers: Mapping[str, LayerPrecision] = field(default_factory=dict)

    def of(self, *names: str) -> Precision:
        """The precision of what bears one of these names: that of the longest entry that is one of them or a module around."""
        entry = self.entry(*names)
        return self.default if entry is None else self.layers[entry].over(self.default)

    def precisions(self) -> tuple[Precision, ...]:
        """Each precision that some layer may have, the default first."""
        return (self.default, *(layer.over(self.default) for layer in self.layers.values()))

    def entry(self, *names: str) -> str | None:
        """The longest entry that fits one of these names, None where the default holds."""
        fitting = [entry for entry in self.layers if any(_holds(entry, name) for name in names)]
        return max(fitting, key=len, default=None)

    def require_known(self, names: Iterable[str], where: object = "[quantization.layers]") -> None:
        """UsageError for an entry that fits none of these names of weights and modules; it says the nearest."""
        known = set(names)
        for entry in self.layers:
            if not any(_holds(entry, name) for name in known):
                modules = {".".join(name.split(".")[:end]) for name in known for end in range(1, name.count(".") + 2)}
                raise UsageError(
                    f"[quantization] layers names '{entry}', which is no layer of this model",
                    where=where,
                    hint=did_you_mean(entry, modules),
                )


@dataclass(frozen=True)
class PrecisionBudget:
    """What the layers' precisions are chosen for; exactly one of these.

    Attributes:
        bytes: of all weights, biases and their scales, at most; as little error as fits.
        min_sqnr_db: of the outputs, at least; as few bytes as reach it.
        max_drop: of the metric, at most (percentage points of top-1); as few bytes as keep it.
    """

    bytes: int | None = None
    min_sqnr_db: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("bytes", "min_sqnr_db", "max_drop") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("'budget' is one of 'bytes', 'min_sqnr_db' and 'max_drop'")
        if self.bytes is not None and self.bytes < 1:
            raise ValueError(f"'bytes' is above 0, not {self.bytes}")
        if self.min_sqnr_db is not None and not math.isfinite(self.min_sqnr_db):
            raise ValueError(f"'min_sqnr_db' is a number of decibels, not {self.min_sqnr_db}")
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise ValueError(f"'max_drop' is in percentage points, from 0 to 100, not {self.max_drop}")


@dataclass(frozen=True)
class Fallback:
    """Layers that cost most accuracy stay float until the metric drops by no more than ``max_drop`` (percentage points)."""

    max_drop: float

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 100:
            raise ValueError(f"'max_drop' is in percentage points, from 0 to 100, not {self.max_drop}")


def _holds(module: str, name: str) -> bool:
    return name == module or name.startswith(f"{module}.")
