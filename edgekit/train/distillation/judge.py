"""Whether the teachers know more than their student: both measured on the same part of the data that was held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from edgekit.errors import EdgekitError
from edgekit.ir import Graph
from edgekit.train.distillation.matching import Matched, match
from edgekit.train.distillation.objective import DistillationObjective
from edgekit.train.distillation.teacher import Teacher
from edgekit.train.objective import Pass
from edgekit.train.samples import open_samples
from edgekit.train.settings import Training
from edgekit.train.student import hits
from edgekit.train.task_loss import TaskLoss, task_loss
from edgekit.train.trained import Trained


def teacher_scores(
    objective: DistillationObjective, student: Graph, data: object, settings: Training, *, root: Path | None = None
) -> dict[str, dict[str, float]]:
    """Every teacher's metrics of the validation part, as the loop measures the student's: ``loss`` and, for classes, ``top1``.

    Args:
        objective: of the training.
        student: the graph that was trained.
        data: what it was trained with.
        settings: how; the validation part is the same.
        root: folder that callables are imported from.

    Returns:
        By the teachers' names. Empty where nothing was held out; without the teachers whose outputs are not the student's.
    """
    samples, feeding = open_samples(data, student, settings, root)
    loss = task_loss(student, settings, root)
    found: dict[str, dict[str, float]] = {}
    for teacher in objective.teachers:
        try:
            outputs = match(student, [teacher])
        except EdgekitError:
            continue  # it gives features only
        total, right, count, scored = 0.0, 0.0, 0, False
        for batch in samples.validation():
            if not batch.targets:
                break
            step = _as_student(teacher, outputs, feeding.inputs(batch), batch.targets, loss)
            with torch.no_grad():
                total += float(loss(step)["task"]) * batch.size
            first = step.outputs[0].movedim(outputs[0].samples, 0) if step.outputs[0].dim() > 1 else step.outputs[0]
            hit = hits(first, batch.targets)
            right, scored = (right, scored) if hit is None else (right + float(hit), True)
            count += batch.size
        if count:
            found[teacher.name] = {"loss": total / count, **({"top1": right / count} if scored else {})}
    return found


def _as_student(
    teacher: Teacher, outputs: Sequence[Matched], inputs: list[torch.Tensor], targets: list[torch.Tensor], loss: TaskLoss
) -> Pass:
    """The teacher's answer in the place of the student's, for the user's own loss."""
    logits, answers, _ = teacher(inputs)
    features = {each.logits.value.name: logits[each.theirs[0]] for each in outputs}
    wanted = {name: features[name] for name in loss.watches if name in features}
    return Pass(inputs, targets[0], [answers[each.theirs[0]] for each in outputs], wanted, 0, tuple(targets[1:]))


def worse_teachers(scores: Mapping[str, Mapping[str, float]], trained: Trained) -> tuple[str, ...]:
    """A sentence for each teacher that the trained student beats on the validation part, for the step's record.

    Args:
        scores: of :func:`teacher_scores`.
        trained: the student's training.
    """
    student = trained.epochs[trained.best].validation if trained.epochs else {}
    sentences = []
    for name, teacher in scores.items():
        if "top1" in teacher and "top1" in student:
            worse = teacher["top1"] < student["top1"]
            shown = f"top-1 {teacher['top1']:.2%} against {student['top1']:.2%}"
        else:
            worse = teacher["loss"] > student.get("loss", float("inf"))
            shown = f"loss {teacher['loss']:.4g} against {student.get('loss', float('nan')):.4g}"
        if worse:
            sentences.append(
                f"the teacher '{name}' is worse than its student on the validation part ({shown}): "
                "compare with the same training without it"
            )
    return tuple(sentences)
