"""The losses of features: which value of the student is compared with which of a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph
from edgekit.train.distillation.attention import attention_loss
from edgekit.train.distillation.hint import hint_loss, regressor
from edgekit.train.distillation.relational import relational_angle_loss, relational_distance_loss, relational_loss
from edgekit.train.distillation.settings import Distillation, Hint
from edgekit.train.distillation.similarity import similarity_loss
from edgekit.train.distillation.teacher import Teacher, sample_axis, samples_first, value_named

#: Losses of (student's features, teacher's features, axis of the channels), samples along axis 0.
LOSSES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "hint": lambda student, teacher, axis: hint_loss(student, teacher),
    "attention": lambda student, teacher, axis: attention_loss(student, teacher, axis=axis),
    "relational": lambda student, teacher, axis: relational_loss(student, teacher),
    "relational_distance": lambda student, teacher, axis: relational_distance_loss(student, teacher),
    "relational_angle": lambda student, teacher, axis: relational_angle_loss(student, teacher),
    "similarity": lambda student, teacher, axis: similarity_loss(student, teacher),
}


@dataclass(frozen=True)
class Compared:
    """One feature of the student with its loss.

    Attributes:
        hint: what was asked.
        weight: of the loss.
        samples: axis of the samples in the student's value.
        regressor: in front of the comparison, for the loss "hint".
    """

    hint: Hint
    weight: float
    samples: int
    regressor: nn.Module | None = field(default=None, compare=False)

    def loss(self, student: Tensor, teacher: dict[str, Tensor]) -> Tensor:
        """The weighted loss of one batch."""
        mine = student.movedim(self.samples, 0)
        if self.regressor is not None:
            mine = self.regressor(mine)
        return self.weight * LOSSES[self.hint.loss](mine, teacher[self.hint.teacher or self.hint.student], self.hint.channels)


def compared(settings: Distillation, student: Graph, teachers: Sequence[Teacher], seed: int) -> list[Compared]:
    """Every feature with its regressor, tried on shapes.

    Raises:
        UsageError: a name that the student has not, the nearest is named; or the same feature twice.
        Unsupported: shapes that the loss can't compare.
    """
    found: list[Compared] = []
    for index, hint in enumerate(settings.features):
        if any(other.name == hint.name for other in settings.features[:index]):
            raise UsageError(
                f"'{hint.name}' stands twice among the features", where=student.name, hint="one loss a value of the student"
            )
        value = value_named(student, hint.student, "the student")
        mine, theirs = samples_first(value.type), teachers[hint.of].features[hint.teacher or hint.student]
        try:
            if not value.type.is_float or mine[:1] != theirs[:1]:
                raise ValueError(f"features of shapes {mine} and {theirs} (at batch 2)")
            made = regressor(mine, theirs, axis=hint.channels, seed=seed + index) if hint.loss == "hint" else None
            wanted = torch.empty(theirs, device="meta")
            LOSSES[hint.loss](wanted if made else torch.empty(mine, device="meta"), wanted, hint.channels)
        except (ValueError, IndexError) as error:
            raise Unsupported(
                f"'{hint.loss}' cannot compare '{hint.student}' with the teacher's '{hint.teacher or hint.student}': {error}",
                where=f"{value.name}: {value.type}",
                hint='"similarity" and "relational" take any two shapes; "attention" any two maps',
            ) from None
        found.append(Compared(hint, settings.weight_of(hint), sample_axis(value.type), made))
    return found
