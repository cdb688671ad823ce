"""Hinton's soft targets: the student learns the teachers' probabilities at a raised temperature.

Formula: L = T^2 * (1 / N) * sum_n KL(p_n || q_n), with p the teachers' and q = softmax(s / T) the student's probabilities, N
the number of samples. T^2 keeps the gradient's size when T changes, because each of the two softmaxes divides it by T. Where
the output has further axes (time steps, pixels) N counts those too, as the mean of cross entropy does.
Source: Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.train.distillation.ensemble import Mean, softened
from edgekit.train.distillation.precision import wide


def soft_target_loss(
    student: Tensor, teachers: Tensor | Sequence[Tensor], temperature: float = 4.0, *, mean: Mean = "arithmetic", axis: int = 1
) -> Tensor:
    """The loss above, for outputs that choose one of several classes.

    Args:
        student: logits (N, classes), or with further axes.
        teachers: logits of the same shape, of one teacher or of several; no gradient flows into them.
        temperature: T.
        mean: how several teachers become one (:func:`edgekit.train.distillation.ensemble.softened`).
        axis: of the classes.

    Returns:
        A scalar.

    Raises:
        ValueError: the shapes differ, or the axis has a single class, whose probability is always 1.
    """
    logits = [teachers] if isinstance(teachers, Tensor) else list(teachers)
    for tensor in logits:
        if tensor.shape != student.shape:
            raise ValueError(f"logits of shape {tuple(student.shape)} and a teacher's of {tuple(tensor.shape)}")
    classes = student.shape[axis]
    if classes < 2:
        raise ValueError("one class has probability 1 whatever its logit: use binary_soft_target_loss")
    with torch.no_grad():
        wanted = softened(logits, temperature, mean, axis)
    found = F.log_softmax(wide(student) / temperature, axis)
    divergence = F.kl_div(found, wanted, reduction="sum", log_target=True)
    return divergence * (temperature**2 * classes / student.numel())


def binary_soft_target_loss(
    student: Tensor, teachers: Tensor | Sequence[Tensor], temperature: float = 4.0, *, mean: Mean = "arithmetic"
) -> Tensor:
    """The same for outputs that end in a sigmoid: every element is a yes or no of its own.

    With p = sigmoid(t / T) and q = sigmoid(s / T) the divergence of an element is
    p log(p / q) + (1 - p) log((1 - p) / (1 - q)), that of two classes with logits (s, 0). The mean
    goes over all elements, as that of binary cross entropy does.

    Args:
        student: logits of any shape.
        teachers: logits of the same shape, of one teacher or of several.
        temperature: T.
        mean: of several teachers.

    Returns:
        A scalar.

    Raises:
        ValueError: the shapes differ.
    """
    logits = [teachers] if isinstance(teachers, Tensor) else list(teachers)
    return soft_target_loss(_two_classes(student), [_two_classes(t) for t in logits], temperature, mean=mean, axis=-1)


def _two_classes(logits: Tensor) -> Tensor:
    return torch.stack([logits, torch.zeros_like(logits)], -1)
