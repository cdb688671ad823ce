"""The user's own loss as an objective: cross entropy, regression, or a callable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.config import is_reference
from edgekit.errors import InputError
from edgekit.ir import Graph, Value
from edgekit.reference import call, load_reference
from edgekit.train.logits import Logits, find_logits
from edgekit.train.objective import Pass
from edgekit.train.settings import Training

_HINT = 'a loss of your own: loss = "package.module:callable", which takes outputs and targets'


class TaskLoss:
    """The objective of training without a teacher: one term, ``task``.

    Several outputs with one target (early exits) give the mean of their losses; with a target each, likewise. Where a graph
    ends in a softmax or a sigmoid, cross entropy is taken of the values before it, as it wants logits.

    Args:
        graph: the student.
        loss: as in ``Training.loss``.
        label_smoothing: of cross entropy.
        root: folder that a callable is imported from.

    Raises:
        InputError: the callable can't be imported.
    """

    def __init__(self, graph: Graph, loss: str = "auto", label_smoothing: float = 0.0, root: Path | None = None) -> None:
        self.modules = nn.ModuleList()
        self._loss, self._smoothing, self._root = loss, label_smoothing, root or Path.cwd()
        self._own: Callable[..., object] | None = load_reference(loss, self._root) if is_reference(loss) else None
        wants_logits = self._own is None and loss in ("auto", "cross_entropy", "bce")
        self._logits = [_before_activation(v) if wants_logits else None for v in graph.outputs]
        self._batch_axes = [batch_axis(v) for v in graph.outputs]
        self._per_sample = [rows_of(v) for v in graph.outputs]
        self.watches = tuple(dict.fromkeys(found.value.name for found in self._logits if found is not None))

    def __call__(self, step: Pass) -> dict[str, Tensor]:
        """``{"task": loss}``.

        Raises:
            InputError: the batch has no targets, or they do not fit the outputs.
        """
        if step.targets is None:
            raise InputError("no labels to train with", where="the training data", hint="batches of (x, y), or 'y' in the .npz")
        outputs = [_samples_first(o, axis) for o, axis in zip(step.outputs, self._batch_axes, strict=True)]
        targets = [step.targets, *step.further_targets]
        if self._own is not None:
            return {"task": self._users(outputs, targets)}
        if len(targets) == 1:
            targets = targets * len(outputs)
        if len(targets) != len(outputs):
            raise InputError(f"{len(outputs)} outputs and {len(targets)} targets", where="the training data", hint=_HINT)
        losses = []
        places = zip(outputs, targets, self._logits, self._batch_axes, self._per_sample, strict=True)
        for output, target, logits, axis, rows in places:
            kind, before = self.kind_of(target), output
            if logits is not None and kind in ("cross_entropy", "bce"):
                arranged = logits.arranged(step.features[logits.value.name], len(output) // rows)
                before = _samples_first(arranged, axis)
            losses.append(_LOSSES[kind](before.float(), target, self._smoothing))
        return {"task": losses[0] if len(losses) == 1 else torch.stack(losses).mean()}

    def kind_of(self, target: Tensor) -> str:
        """The loss that "auto" stands for with such a target."""
        if self._loss != "auto":
            return self._loss
        if target.is_floating_point():
            return "mse"
        return "bce" if target.dtype == torch.bool else "cross_entropy"

    def _users(self, outputs: list[Tensor], targets: list[Tensor]) -> Tensor:
        own = self._own
        assert own is not None
        value = call(own, _single(outputs), _single(targets), what=f"'{self._loss}'", root=self._root)
        if not isinstance(value, Tensor) or value.dim() != 0:
            shown = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"the loss returned {shown}, not a scalar tensor", where=self._loss, hint="for example .mean()")
        return value


def batch_axis(value: Value) -> int:
    """The axis of samples of an input or output; 0 where it has none."""
    from edgekit.ir.types import Batch

    return next((axis for axis, dim in enumerate(value.type.shape) if isinstance(dim, Batch)), 0)


def rows_of(value: Value) -> int:
    """How many rows of an input or output belong to one sample, along its axis of samples; 1 where it has none."""
    from edgekit.ir.types import Batch

    return next((dim.multiple for dim in value.type.shape if isinstance(dim, Batch)), 1)


def _before_activation(output: Value) -> Logits | None:
    """What a final softmax (over the classes) or sigmoid reads, whatever rearranges its result; None where there is none."""
    found = find_logits(output)
    if found.kind == "unknown":
        return None
    if found.kind == "classes":
        assert found.axis is not None
        classes, rank = found.value.type.shape[found.axis], output.type.rank
        if found.carriers:  # the classes must still be an axis of their own, where cross entropy looks for them
            kept = rank > 1 and classes in (output.type.shape[1], output.type.shape[-1])
        else:
            kept = found.axis in (1, rank - 1)
        return found if kept else None
    return found


def _samples_first(tensor: Tensor, axis: int) -> Tensor:
    return tensor.movedim(axis, 0) if axis else tensor


def _single(tensors: Sequence[Tensor]) -> Tensor | list[Tensor]:
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _cross_entropy(output: Tensor, target: Tensor, smoothing: float) -> Tensor:
    if target.is_floating_point():
        if target.shape != output.shape:
            raise _misfit(output, target, "cross entropy with probabilities wants them of the outputs' shape")
        return F.cross_entropy(output, target, label_smoothing=smoothing)
    if target.dim() == 2 and target.shape[1] == 1 and output.dim() == 2:
        target = target[:, 0]
    if output.dim() < 2 or (output.shape[1] < 2 and output.dim() == 2):
        raise _misfit(output, target, 'one output for two classes: loss = "bce"')
    first = target.shape == output.shape[:1] + output.shape[2:]
    last = target.shape == output.shape[:-1]
    if first and last and output.dim() > 2:
        raise _misfit(output, target, f"classes could be axis 1 or the last one; {_HINT}")
    if not first and not last:
        raise _misfit(output, target, f"outputs (samples, classes, ...) and one class each; {_HINT}")
    scores = output if first else output.movedim(-1, 1)
    try:
        return F.cross_entropy(scores, target.long(), label_smoothing=smoothing)
    except IndexError:
        raise InputError(
            f"labels from {int(target.min())} to {int(target.max())} for {scores.shape[1]} classes",
            where="the training data",
            hint="labels are the classes' indices, from 0",
        ) from None


def _alike(output: Tensor, target: Tensor) -> Tensor:
    """The target in the output's shape: (samples,) for (samples, 1); nothing is broadcast."""
    if target.shape != output.shape and target.numel() == output.numel() and target.shape[0] == output.shape[0]:
        target = target.reshape(output.shape)
    if target.shape != output.shape:
        raise _misfit(output, target, f"targets of the outputs' shape; {_HINT}")
    return target.to(output.dtype)


def _misfit(output: Tensor, target: Tensor, hint: str) -> InputError:
    return InputError(
        f"outputs of shape {tuple(output.shape)} and targets of shape {tuple(target.shape)} ({target.dtype})",
        where="the training data",
        hint=hint,
    )


_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "mse": lambda output, target, _: F.mse_loss(output, _alike(output, target)),
    "l1": lambda output, target, _: F.l1_loss(output, _alike(output, target)),
    "bce": lambda output, target, _: F.binary_cross_entropy_with_logits(output, _alike(output, target)),
}


def task_loss(graph: Graph, settings: Training, root: Path | None = None) -> TaskLoss:
    """The loss that the settings name, for this graph."""
    return TaskLoss(graph, settings.loss, settings.label_smoothing, root)


__all__ = ["TaskLoss", "batch_axis", "task_loss"]
