"""Which output of a teacher each output of the student learns from, and by which loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from edgekit.errors import InputError, Unsupported
from edgekit.ir import Graph
from edgekit.train.distillation.ensemble import Mean
from edgekit.train.distillation.mimic import mimic_loss
from edgekit.train.distillation.soft_targets import binary_soft_target_loss, soft_target_loss
from edgekit.train.distillation.teacher import PROBE, Teacher, sample_axis
from edgekit.train.logits import Logits, find_logits
from edgekit.train.task_loss import TaskLoss

_WRAP = "wrap the teacher in a module whose outputs are the student's"


@dataclass(frozen=True)
class Matched:
    """One output of the student.

    Attributes:
        name: of the student's output.
        index: among the student's outputs.
        logits: where the student has its logits.
        theirs: index of the output of each teacher.
        kind: "classes" or "binary" where a graph says so, else "unknown".
        axis: of the classes, where a graph says so.
        samples: axis of the samples in the student's logits.
    """

    name: str
    index: int
    logits: Logits
    theirs: tuple[int, ...]
    kind: str
    axis: int | None
    samples: int

    def class_axis(self, target: Tensor | None) -> int:
        """The axis of the classes: as the graphs say, else as the targets' shape says, else axis 1."""
        if self.axis is not None:
            return self.axis
        rank = self.logits.value.type.rank
        if rank == 2:
            return 1 - self.samples
        shape = self.logits.value.type.at(PROBE)
        if target is not None and target.dim() == rank - 1 and tuple(target.shape[1:]) == shape[1:-1] != shape[2:]:
            return rank - 1
        return 1


def match(student: Graph, teachers: Sequence[Teacher]) -> list[Matched]:
    """Outputs in pairs: as many of a teacher as of the student, or its only one for all of the student's.

    Raises:
        Unsupported: other numbers of outputs, or an output of integers.
        InputError: shapes differ, or one network ends in a softmax and the other in a sigmoid.
    """
    return [_matched(student, index, teachers) for index in range(len(student.outputs))]


def _matched(student: Graph, index: int, teachers: Sequence[Teacher]) -> Matched:
    output = student.outputs[index]
    logits = find_logits(output)
    shape = logits.value.type.at(PROBE)
    if not logits.value.type.is_float:
        raise Unsupported(
            f"output '{output.name}' is {output.type}, and only floats are distilled",
            where=student.name,
            hint="let the model end in its scores, before an argmax or a cast",
        )
    theirs, kinds, axes = [], [logits.kind], [logits.axis]
    for teacher in teachers:
        count, wanted = len(teacher.shapes), len(student.outputs)
        if count not in (1, wanted):
            raise Unsupported(
                f"the teacher '{teacher.name}' has {count} outputs and the student {wanted}", where=student.name, hint=_WRAP
            )
        at = index if count == wanted else 0
        if teacher.shapes[at] != shape:
            raise InputError(
                f"output '{output.name}' has shape {shape} and the teacher's {teacher.shapes[at]} (at batch {PROBE})",
                where=teacher.name,
                hint=_WRAP,
            )
        theirs.append(at)
        known = teacher.logits(at)
        kinds.append("unknown" if known is None else known.kind)
        axes.append(None if known is None else known.axis)
    said = {kind for kind in kinds if kind != "unknown"}
    if len(said) > 1 or len({axis for axis in axes if axis is not None}) > 1:
        raise InputError(
            f"output '{output.name}' and its teachers end in different activations: {', '.join(sorted(said))}",
            where=student.name,
            hint="all end in a softmax over the same axis, or all in a sigmoid, or in logits",
        )
    axis = next((axis for axis in axes if axis is not None), None)
    kind = next(iter(said), "unknown")
    return Matched(output.name, index, logits, tuple(theirs), kind, axis, sample_axis(logits.value.type))


_KINDS = {"cross_entropy": "classes", "bce": "binary", "mse": "numbers", "l1": "numbers"}


def kind_of(each: Matched, target: Tensor | None, loss: str, task: TaskLoss) -> str:
    """What an output predicts, "classes", "binary" or "numbers": as the graphs end, else as the task's loss or its targets say.

    Args:
        each: the output.
        target: of a batch, if there is one.
        loss: as in ``Training.loss``.
        task: the loss that it names.

    Raises:
        InputError: nothing tells.
    """
    if each.kind != "unknown":
        return each.kind
    if loss == "auto" and target is not None:
        loss = task.kind_of(target)
    if loss in _KINDS:
        return _KINDS[loss]
    shape = each.logits.value.type.shape
    if len(shape) > 1 and shape[each.class_axis(target)] != 1 and (target is None or not target.is_floating_point()):
        return "classes"
    raise InputError(
        f"what output '{each.name}' predicts is unclear: {each.logits.value.type}",
        where="distillation",
        hint='kind = "classes", "binary" or "numbers"',
    )


def output_loss(kind: str, student: Tensor, teachers: list[Tensor], temperature: float, mean: Mean, axis: int) -> Tensor:
    """The loss of one output."""
    if kind == "numbers":
        return mimic_loss(student, teachers)
    if kind == "binary":
        return binary_soft_target_loss(student, teachers, temperature, mean=mean)
    return soft_target_loss(student, teachers, temperature, mean=mean, axis=axis)


def refuse_probabilities(logits: Tensor, kind: str, axis: int, whose: str) -> None:
    """Logits that are probabilities already would give soft targets with next to no message in them.

    Args:
        logits: of one batch.
        kind: "classes" or "binary"; numbers are never refused.
        axis: of the classes.
        whose: for the error.

    Raises:
        InputError: all lie between 0 and 1 and, with classes, add up to 1 for every sample.
    """
    values = logits.detach().float()
    if kind == "numbers" or bool((values < 0).any() or (values > 1).any()):
        return
    if kind == "classes" and bool((values.sum(axis) - 1).abs().max() > 1e-3):
        return
    raise InputError(
        f"{whose} are probabilities, and soft targets are made of logits",
        where="the end of the network",
        hint="return what the softmax or sigmoid reads, or give the network as a graph that ends in one (edgekit.load); "
        'where they are logits after all: kind = "binary"',
    )
