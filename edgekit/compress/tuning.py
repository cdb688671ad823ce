"""Training inside compression: with or without teachers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from edgekit.compress.context import Context
from edgekit.compress.sparsify.held import held
from edgekit.compress.teachers import load_teachers
from edgekit.ir import Graph
from edgekit.train.distillation.judge import teacher_scores, worse_teachers
from edgekit.train.distillation.settings import Distillation
from edgekit.train.loop import train
from edgekit.train.masks import WeightRule
from edgekit.train.settings import Training
from edgekit.train.trained import Trained


@dataclass(frozen=True)
class Tuned:
    """A trained graph, with what its record tells.

    Attributes:
        trained: the training.
        teachers: metrics of every teacher on the validation part.
        warnings: about the teachers.
        notes: likewise, of what needs no mending.
    """

    trained: Trained
    teachers: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def details(self) -> dict[str, Any]:
        """The curves, and the teachers' metrics where there are any, as plain data."""
        return {**self.trained.details(), **({"teachers": self.teachers} if self.teachers else {})}


def tune(
    graph: Graph,
    data: object | None,
    settings: Training,
    distillation: Distillation | None,
    context: Context,
    alive: Mapping[str, Tensor] | None = None,
    rule: Callable[[Graph], WeightRule] | None = None,
) -> Tuned:
    """Trains a copy of the graph, with the teachers that the distillation names; raises what ``train`` raises.

    ``alive`` are masks of the weights that are trained; by default, what an earlier step made zero stays zero. ``rule`` makes
    another rule in their place.
    """
    alive = held(graph) if alive is None else alive
    around: dict[str, Any] = {"folder": context.folder, "say": context.say, "root": context.root, "alive": alive, "rule": rule}
    if distillation is None or settings.epochs == 0:
        return Tuned(train(graph, data, settings, **around))
    teachers = load_teachers(distillation, graph, context)
    objective = distillation.objective(graph, teachers, settings, root=context.root)
    trained = train(graph, data, settings, objective, **around)
    scores = teacher_scores(objective, graph, data, settings, root=context.root)
    notes = _not_compared([teacher.name for teacher in objective.teachers if teacher.name not in scores], trained)
    return Tuned(trained, scores, worse_teachers(scores, trained), notes)


def _not_compared(names: list[str], trained: Trained) -> tuple[str, ...]:
    """What is said of teachers that may be worse than their student without anybody knowing."""
    if any(epoch.validation for epoch in trained.epochs):
        why = "its outputs are not the student's, or what was held out has no labels"
    else:
        why = "nothing was held out of the training data (validation = 0.1 holds out a tenth)"
    return tuple(f"the teacher '{name}' was not compared with its student: {why}" for name in names)
