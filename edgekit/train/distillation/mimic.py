"""Regression onto the teacher's own outputs, for networks that predict numbers and not classes.

Formula: L = mean((s - t)^2) over all elements, t the mean of the teachers' outputs. Source: Ba, Caruana 2014, "Do deep nets
really need to be deep?", arXiv:1312.6184, section 2.2 (there on logits).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgekit.train.distillation.precision import wide


def mimic_loss(student: Tensor, teachers: Tensor | Sequence[Tensor]) -> Tensor:
    """The mean squared difference between the student's outputs and the mean of the teachers'.

    Args:
        student: of any shape.
        teachers: of the same shape, of one teacher or of several; no gradient flows into them.

    Returns:
        A scalar.

    Raises:
        ValueError: the shapes differ.
    """
    outputs = [teachers] if isinstance(teachers, Tensor) else list(teachers)
    for tensor in outputs:
        if tensor.shape != student.shape:
            raise ValueError(f"outputs of shape {tuple(student.shape)} and a teacher's of {tuple(tensor.shape)}")
    wanted = torch.stack([wide(tensor.detach()) for tensor in outputs]).mean(0)
    return (wide(student) - wanted).square().mean()
