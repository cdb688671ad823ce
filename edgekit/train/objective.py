"""What a training step minimises: named scalar terms of one batch that went through the student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@dataclass(frozen=True)
class Fed:
    """One batch as the graph takes it.

    Attributes:
        inputs: in the order of ``graph.inputs``, after augmentation.
        targets: of the outputs, in their order; may be empty.
    """

    inputs: list[Tensor]
    targets: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Pass:
    """One batch that went through the student, in training mode.

    Attributes:
        inputs: in the order of ``graph.inputs``, after augmentation.
        targets: of the first output; None where the data has none.
        outputs: in the order of ``graph.outputs``.
        features: tensors of the values named in ``Objective.watches``.
        epoch: from 0.
        further_targets: of the second and later outputs, where the data has several.
        others: batches of the same step that did not go through the student: as many as the objective's ``draws`` beyond one;
            none while the student is evaluated, and where the training data has only one order.
    """

    inputs: list[Tensor]
    targets: Tensor | None
    outputs: list[Tensor]
    features: Mapping[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    further_targets: tuple[Tensor, ...] = ()
    others: tuple[Fed, ...] = ()

    def target_of(self, output: int) -> Tensor | None:
        """The targets of one of the outputs: its own, or the only ones; None where the data has none."""
        if self.targets is None or not self.further_targets:
            return self.targets
        return (self.targets, *self.further_targets)[output]


@runtime_checkable
class Objective(Protocol):
    """What the loop minimises.

    Attributes:
        watches: names of values of the student's graph whose tensors it needs in ``Pass.features``.
        modules: what is trained along and discarded afterwards (regressors of hints); may be empty. Teachers do not belong
            here: they are not trained, and not kept in checkpoints.

    An objective may also have ``identity``, a string that differs where what it does differs, and ``draws``, the number of
    batches that a step of it takes (one, where it has none).
    """

    watches: tuple[str, ...]
    modules: nn.ModuleList

    def __call__(self, step: Pass) -> dict[str, Tensor]:
        """Named scalar terms, already weighted; the loop minimises their sum."""
        ...
