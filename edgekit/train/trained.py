"""What a training came to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.ir import Graph


@dataclass(frozen=True)
class Epoch:
    """One pass over the training part.

    Attributes:
        number: from 0.
        terms: mean of every term of the objective, as it was minimised (with augmentation, dropout and the rest).
        training: metrics of the training batches as they went by: ``top1`` where labels are classes.
        validation: ``loss`` and, where labels are classes, ``top1`` of the part held out, in evaluation mode; else empty.
        lr: learning rate at its end.
        seconds: that it took.
    """

    number: int
    terms: Mapping[str, float]
    training: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    lr: float = 0.0
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """Sum of the terms."""
        return sum(self.terms.values())

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better: top-1 of the validation part, then its loss; one that is not finite is the worst."""
        loss = self.validation.get("loss", 0.0)
        return self.validation.get("top1", 0.0), -loss if math.isfinite(loss) else -math.inf

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Trained:
    """A trained graph and how it got there.

    Attributes:
        graph: a copy of the graph that was given, with the weights of the best epoch.
        epochs: one record each.
        best: number of the epoch whose weights these are; -1 where nothing was trained.
        resumed_from: number of steps that an earlier, interrupted run had done; None: there was none.
        draws: number of batches that a step took.
    """

    graph: Graph
    epochs: tuple[Epoch, ...] = ()
    best: int = -1
    resumed_from: int | None = None
    draws: int = 1

    def details(self) -> dict[str, Any]:
        """The curves as plain data for a ``StepRecord``; a validation loss that JSON has no number for is None."""
        rows = [epoch.as_dict() for epoch in self.epochs]
        for row in rows:
            row["validation"] = {name: value if math.isfinite(value) else None for name, value in row["validation"].items()}
        return {"epochs": rows, "best_epoch": self.best}
