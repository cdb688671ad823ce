"""What a training minimises that distils: the user's loss, the teachers' soft targets and the losses of features."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from edgekit.errors import InputError, UsageError
from edgekit.ir import Graph
from edgekit.train.distillation.ensemble import Mean
from edgekit.train.distillation.features import Compared, compared
from edgekit.train.distillation.labelled import labelled_part
from edgekit.train.distillation.matching import Matched, kind_of, match, output_loss, refuse_probabilities
from edgekit.train.distillation.settings import Distillation
from edgekit.train.distillation.teacher import Teacher, make_teacher, sample_axis, value_named
from edgekit.train.objective import Pass
from edgekit.train.settings import Training
from edgekit.train.task_loss import TaskLoss, task_loss


class DistillationObjective:
    """(1 - alpha) * task + alpha * soft targets + weighted losses of features; see ``Distillation``.

    Attributes:
        watches: values of the student that it looks at.
        modules: the regressors of hints.
        teachers: copies in evaluation mode.
        identity: differs where the settings or a teacher's weights differ.
    """

    def __init__(
        self,
        settings: Distillation,
        student: Graph,
        teachers: Sequence[Graph | nn.Module],
        training: Training,
        *,
        root: Path | None = None,
    ) -> None:
        if len(teachers) != len(settings.teachers):
            raise UsageError(
                f"{len(teachers)} teachers for the {len(settings.teachers)} that 'teachers' names",
                where="distillation: teachers",
                hint="one network for each name, in their order",
            )
        if settings.hint_epochs and settings.hint_epochs >= training.epochs > 0:
            raise UsageError(
                f"'hint_epochs' = {settings.hint_epochs} leaves none of {training.epochs} epochs for the second stage",
                where="distillation: hint_epochs",
                hint="more epochs, or fewer hint_epochs",
            )
        if settings.hint_epochs and 0 < training.patience <= settings.hint_epochs:
            raise UsageError(
                f"'patience' = {training.patience} would end the training within its {settings.hint_epochs} hint_epochs",
                where="training: patience",
                hint=f"patience = {settings.hint_epochs + 1} or more: the first stage does not improve predictions",
            )
        self._settings, self._training = settings, training
        self.teachers: list[Teacher] = [
            make_teacher(source, name, student, [f.teacher or f.student for f in settings.features if f.of == index])
            for index, (source, name) in enumerate(zip(teachers, settings.teachers, strict=True))
        ]
        self._outputs: list[Matched] = match(student, self.teachers) if settings.alpha else []
        self._task: TaskLoss = task_loss(student, training, root)
        watched = {name: sample_axis(value_named(student, name, "the student").type) for name in self._task.watches}
        self._axes = ([sample_axis(value.type) for value in student.outputs], watched)
        self._features: list[Compared] = compared(settings, student, self.teachers, training.seed)
        self.modules = nn.ModuleList([c.regressor for c in self._features if c.regressor is not None])
        names = [c.hint.student for c in self._features] + [m.logits.value.name for m in self._outputs]
        self.watches = tuple(dict.fromkeys([*names, *self._task.watches]))
        self._looked = False
        self.identity = _identity(settings, self.teachers)

    def __call__(self, step: Pass) -> dict[str, Tensor]:
        """The terms: ``task``, ``soft_targets`` and one for each feature, by its name.

        Raises:
            InputError: no labels where they are needed, outputs of an unclear kind, or probabilities in the place of logits.
        """
        settings, first = self._settings, step.epoch < self._settings.hint_epochs
        answers = [teacher(step.inputs) for teacher in self.teachers]
        terms: dict[str, Tensor] = {}
        for each in self._features:
            if settings.hint_epochs == 0 or (each.hint.loss == "hint") == first:
                terms[each.hint.name] = each.loss(step.features[each.hint.student], answers[each.hint.of][2])
        if first:
            return terms
        if settings.alpha < 1:
            part = labelled_part(step, *self._axes)
            if part is not None:
                terms["task"] = (1 - settings.alpha) * self._task(part)["task"]
        if self._outputs:
            losses = [self._soft(each, step, [answer[:2] for answer in answers]) for each in self._outputs]
            terms["soft_targets"] = settings.alpha * torch.stack(losses).mean()
            self._looked = True
        return terms

    def _soft(self, each: Matched, step: Pass, answers: list[tuple[list[Tensor], list[Tensor]]]) -> Tensor:
        target = step.target_of(each.index)
        asked, axis = self._settings.kind, each.class_axis(target)
        kind = kind_of(each, target, self._training.loss, self._task) if asked == "auto" else asked
        place = 1 if kind == "numbers" else 0  # outputs as they are, or their logits
        mine = step.outputs[each.index] if place else step.features[each.logits.value.name]
        theirs = [answer[place][at] for answer, at in zip(answers, each.theirs, strict=True)]
        if kind == "classes" and (mine.dim() < 2 or mine.shape[axis] < 2):
            raise InputError(
                f"output '{each.name}' has one number a sample, whose softmax is 1 whatever it is",
                where="distillation",
                hint='kind = "numbers" for a quantity, "binary" for a yes or no',
            )
        if not self._looked:
            self._look(each, kind, axis, mine, theirs)
        return output_loss(kind, mine, theirs, self._settings.temperature, cast(Mean, self._settings.mean), axis)

    def _look(self, each: Matched, kind: str, axis: int, mine: Tensor, theirs: list[Tensor]) -> None:
        """Refuses probabilities in the first batch.

        Yes-or-no logits may well lie between 0 and 1 by chance: only those of a module are doubted, whose end is not known,
        and only where the user did not say what they are.
        """
        if kind == "classes":
            refuse_probabilities(mine, kind, axis, f"output '{each.name}' of the student")
        for teacher, at, logits in zip(self.teachers, each.theirs, theirs, strict=True):
            if kind == "classes" or (teacher.logits(at) is None and self._settings.kind == "auto"):
                refuse_probabilities(logits, kind, axis, f"the outputs of the teacher '{teacher.name}'")


def _identity(settings: Distillation, teachers: Sequence[Teacher]) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for teacher in teachers:
        for name, tensor in sorted(teacher.module.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
