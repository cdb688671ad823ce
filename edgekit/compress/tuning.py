"""Training inside compression: with or without teachers, and what the step ``fine_tune`` does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from edgekit.compress.context import Context
from edgekit.compress.prune.budget import weight_bytes
from edgekit.compress.sparsify.held import held
from edgekit.compress.teachers import load_teachers
from edgekit.ir import Graph
from edgekit.ir.history import StepRecord
from edgekit.train.distillation.judge import teacher_scores, worse_teachers
from edgekit.train.distillation.settings import Distillation
from edgekit.train.loop import train
from edgekit.train.settings import Training
from edgekit.train.trained import Trained

if TYPE_CHECKING:
    from edgekit.compress.fine_tune import FineTune


@dataclass(frozen=True)
class Tuned:
    """A trained graph, with what its record tells.

    Attributes:
        trained: the training.
        teachers: metrics of every teacher on the validation part.
        warnings: about the teachers.
    """

    trained: Trained
    teachers: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

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
) -> Tuned:
    """Trains a copy of the graph, with the teachers that the distillation names; raises what ``train`` raises.

    ``alive`` are masks of the weights that are trained; by default, what an earlier step made zero stays zero.
    """
    alive = held(graph) if alive is None else alive
    if distillation is None or settings.epochs == 0:
        return Tuned(train(graph, data, settings, folder=context.folder, say=context.say, root=context.root, alive=alive))
    teachers = load_teachers(distillation, graph, context)
    objective = distillation.objective(graph, teachers, settings, root=context.root)
    trained = train(graph, data, settings, objective, folder=context.folder, say=context.say, root=context.root, alive=alive)
    scores = teacher_scores(objective, graph, data, settings, root=context.root)
    return Tuned(trained, scores, worse_teachers(scores, trained))


def fine_tune(step: FineTune, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``FineTune.apply``."""
    started = time.perf_counter()
    tuned = tune(graph, data, step, step.distillation, context)
    result = tuned.trained.graph
    record = StepRecord(
        step="fine_tune",
        options=step.options(),
        macs=(graph.macs, result.macs),
        parameters=(graph.parameters, result.parameters),
        weight_bytes=(weight_bytes(graph), weight_bytes(result)),
        seconds=time.perf_counter() - started,
        warnings=tuned.warnings,
        details=tuned.details(),
    )
    result.history = (*graph.history, record)
    return result
