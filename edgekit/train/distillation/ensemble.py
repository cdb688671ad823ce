"""The softened prediction of one teacher or several.

Formulas: with p_k = softmax(t_k / T), the arithmetic mean is p = (1 / K) * sum_k p_k and the geometric mean is
p = softmax((1 / K) * sum_k t_k / T), the normalised geometric mean of the p_k. Source: Hinton, Vinyals, Dean 2015,
arXiv:1503.02531, sections 1 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.train.distillation.precision import wide

#: How the predictions of several teachers become one.
Mean = Literal["arithmetic", "geometric"]


def softened(logits: Sequence[Tensor], temperature: float, mean: Mean = "arithmetic", axis: int = 1) -> Tensor:
    """Logarithms of the teachers' softened probabilities.

    Args:
        logits: of each teacher, all of one shape. Not probabilities.
        temperature: above 0; 1 gives the teacher's own probabilities.
        mean: of the softened probabilities ("arithmetic") or of the logits ("geometric").
        axis: of the classes.

    Returns:
        log p, of the logits' shape; float32 at least.

    Raises:
        ValueError: no teacher, or an unknown mean.
    """
    if not logits or mean not in ("arithmetic", "geometric"):
        raise ValueError(f"the {mean} mean of {len(logits)} teachers")
    scaled = torch.stack([wide(tensor) / temperature for tensor in logits])
    if mean == "geometric":
        return F.log_softmax(scaled.mean(0), axis)
    each = F.log_softmax(scaled, axis % logits[0].dim() + 1)
    return torch.logsumexp(each, 0) - math.log(len(logits))
