"""What exits are trained for: the labels, and the last exit's answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.compress.early_exit.hints import Hint
from edgekit.errors import InputError
from edgekit.train.batches import UNLABELLED
from edgekit.train.objective import Pass


def no_classes(labels: Tensor | None) -> InputError:
    """What labels that exits can't be trained with lead to."""
    wrong = "exits are trained with one class a sample, and these labels are none"
    what = "no labels to train exits with" if labels is None else wrong
    return InputError(
        what, where="the training data", hint="integer labels, one a sample: 'y' in the .npz, or batches of (x, y)"
    )


def require_classes(labels: Tensor, classes: int, where: str) -> None:
    """Labels (samples,) are indices of classes, or say that there is none.

    Raises:
        InputError: some are not.
    """
    known = labels[labels != UNLABELLED]
    if len(known) and not 0 <= int(known.min()) <= int(known.max()) < classes:
        raise InputError(
            f"labels from {int(known.min())} to {int(known.max())} for {classes} classes",
            where=where,
            hint=f"labels are the classes' indices, from 0 to {classes - 1}",
        )


class ExitLoss:
    """Cross entropy of every exit, and its divergence from what the last exit says.

    For an exit with logits z and a last exit with logits t: (1 - a) CE(z, y) + a T^2 KL(softmax(t / T), softmax(z / T)), the
    self-distillation of Phuong and Lampert (ICCV 2019). No gradient flows into t.

    Args:
        exits: positions of the trained exits' logits among the outputs, in order.
        weights: of each of these.
        share: a; an exit whose logits are the teacher's own has none.
        temperature: T.
        teacher: position of the last exit's logits among the outputs; None: they are the last input.
        label_smoothing: of cross entropy.
        hints: of exits that learn the features of the network's last layer too.
        wanted: these features: a value's name, or the position of an input.
    """

    def __init__(
        self,
        exits: tuple[int, ...],
        weights: tuple[float, ...],
        share: float,
        temperature: float,
        teacher: int | None,
        label_smoothing: float = 0.0,
        hints: Sequence[Hint] = (),
        wanted: str | int = "",
    ) -> None:
        self.watches: tuple[str, ...] = tuple(hint.features for hint in hints)
        if hints and isinstance(wanted, str):
            self.watches += (wanted,)
        self._hints, self._wanted = tuple(hints), wanted
        self.modules = nn.ModuleList()
        self._exits, self._weights, self._teacher = exits, weights, teacher
        self._share, self._temperature, self._smoothing = share, temperature, label_smoothing
        self.identity = f"{exits}{weights}{share}{temperature}{teacher}{label_smoothing}{self._hints}"

    def __call__(self, step: Pass) -> dict[str, Tensor]:
        """One term an exit.

        Raises:
            InputError: the batch has no labels, or they are no classes.
        """
        labels = step.targets
        if labels is None or labels.is_floating_point() or labels.numel() != len(step.outputs[self._exits[0]]):
            raise no_classes(labels)
        labels = labels.reshape(-1).long()
        require_classes(labels, step.outputs[self._exits[0]].shape[1], "the training data")
        terms = {}
        for number, (place, weight) in enumerate(zip(self._exits, self._weights, strict=True)):
            logits = step.outputs[place].float()
            loss = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, label_smoothing=self._smoothing)
            if self._share and place != self._teacher:
                loss = (1 - self._share) * loss + self._share * self._divergence(logits, step)
            terms[f"exit_{number}"] = weight * loss
        for hint in self._hints:
            wanted = step.inputs[self._wanted] if isinstance(self._wanted, int) else step.features[self._wanted]
            terms[f"hint_{hint.exit}"] = hint.term(step.features[hint.features], wanted)
        return terms

    def _divergence(self, logits: Tensor, step: Pass) -> Tensor:
        told = step.inputs[-1] if self._teacher is None else step.outputs[self._teacher]
        wanted = torch.softmax(told.detach().float() / self._temperature, 1)
        given = torch.log_softmax(logits / self._temperature, 1)
        return F.kl_div(given, wanted, reduction="batchmean") * self._temperature**2
