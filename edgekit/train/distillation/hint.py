"""FitNet hints: a middle layer of the student learns to predict one of its teacher's.

Formula: L = (1 / 2) * ||u - r(v)||^2, u the teacher's features, v the student's, r a regressor that is trained along and
then discarded. Here the mean over samples and features stands for the sum, so that the loss does not grow with the layer.
Source: Romero et al. 2015, arXiv:1412.6550, section 2.2 and equation 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgekit.train.distillation.precision import wide

_CONVOLUTIONS: dict[int, tuple[type[nn.Module], type[nn.Module]]] = {
    1: (nn.Conv1d, nn.ConvTranspose1d),
    2: (nn.Conv2d, nn.ConvTranspose2d),
}


def hint_loss(regressed: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean squared difference.

    Args:
        regressed: the regressor's output for the student's features.
        teacher: the teacher's features, of the same shape; no gradient flows into them.

    Returns:
        A scalar.

    Raises:
        ValueError: the shapes differ.
    """
    if regressed.shape != teacher.shape:
        raise ValueError(f"features of shape {tuple(regressed.shape)} against {tuple(teacher.shape)}: a regressor is missing")
    return 0.5 * (wide(regressed) - wide(teacher.detach())).square().mean()


def regressor(student: Sequence[int], teacher: Sequence[int], *, axis: int = 1, seed: int = 0) -> nn.Module:
    """A module that turns the student's features into the shape of the teacher's.

    Vectors and features whose channels stand last are regressed by a linear layer on that axis. Maps are regressed by a
    convolution: with h_s and h_t positions the stride is s = h_s // h_t and the kernel h_s - s * (h_t - 1), which gives exactly
    h_t positions (for s = 1 the paper's kernel); by a transposed one with the roles changed where the student's map is smaller.

    Args:
        student: shape of the student's features for one sample, batch included: (1, C) or (1, C, ...).
        teacher: shape of the teacher's.
        axis: of the channels.
        seed: of its parameters: normal with variance 1 / fan_in (no activation follows), biases zero. They are drawn from a
            generator of their own, so that the training's random numbers stay where they were.

    Raises:
        ValueError: no such regressor: another number of axes, or a map that is larger on one axis and smaller on another.
    """
    shapes = f"features of shapes {tuple(student)} and {tuple(teacher)}"
    if len(student) != len(teacher) or len(student) < 2:
        raise ValueError(f"{shapes} have no regressor: they differ in the number of axes")
    axis %= len(student)
    mine, wanted = [*student[1:axis], *student[axis + 1 :]], [*teacher[1:axis], *teacher[axis + 1 :]]
    if axis == len(student) - 1 and mine == wanted:
        return _initialised(nn.Linear(student[axis], teacher[axis], device="meta"), seed)
    if axis != 1 or len(mine) not in _CONVOLUTIONS:
        raise ValueError(f"{shapes} have no regressor: their positions differ")
    forward, transposed = _CONVOLUTIONS[len(mine)]
    if all(a >= b for a, b in zip(mine, wanted, strict=True)):
        kind, pairs = forward, list(zip(mine, wanted, strict=True))
    elif all(a <= b for a, b in zip(mine, wanted, strict=True)):
        kind, pairs = transposed, list(zip(wanted, mine, strict=True))
    else:
        raise ValueError(f"{shapes} have no regressor: larger on one axis and smaller on another")
    strides = tuple(large // small for large, small in pairs)
    kernels = tuple(large - stride * (small - 1) for (large, small), stride in zip(pairs, strides, strict=True))
    return _initialised(kind(student[1], teacher[1], kernels, strides, device="meta"), seed)


def _initialised(module: nn.Module, seed: int) -> nn.Module:
    module = module.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        with torch.no_grad():
            if parameter.dim() < 2:
                parameter.zero_()
            else:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
    return module
