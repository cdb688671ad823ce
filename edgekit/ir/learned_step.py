"""Rounding to a grid whose step is learned: the forward pass of ``fake_quantize`` with the gradients of LSQ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: The smallest step: a step that training pushes to zero or below acts as this one, and may come back.
SMALLEST_STEP = 1e-9

#: From here on float32 does not hold every integer.
_EXACT = 2**24


def learned_step(x: Tensor, step: Tensor, least: int, most: int, gradient_scale: float, axis: int | None = None) -> Tensor:
    """``step * clamp(round(x / step), least, most)``, rounding half to even.

    Learned Step Size Quantization (Esser et al. 2020, arXiv:1902.08153). With v = x / step, the gradients are (eq. 5)::

        d/dx    = 1 where least < v < most, else 0
        d/dstep = gradient_scale * sum(round(v) - v  where least < v < most;  least where v <= least;  most where v >= most)

    and (eq. 3) ``step`` learns at the pace of the weights with ``gradient_scale`` = 1 / sqrt(N * Q_P), N the elements that
    share the step. An asymmetric grid with an integer zero point z is the one from ``least`` = qmin - z to ``most`` = qmax - z.

    Args:
        x: real numbers, any shape.
        step: above 0: one for all of x (any shape with one element), or one per index along ``axis``.
        least: smallest integer.
        most: largest integer.
        gradient_scale: 0 for a step that does not learn here.
        axis: of the steps.

    Returns:
        Numbers on the grid, of the shape and type of x.
    """
    result: Tensor = _LearnedStep.apply(x, step, least, most, gradient_scale, axis)  # type: ignore[no-untyped-call]
    return result


class _LearnedStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, least: int, most: int, gradient_scale: float, axis: int | None) -> Tensor:
        size = _broadcast(step.to(x.dtype).clamp(min=SMALLEST_STEP), x.dim(), axis)
        ctx.save_for_backward(x, step)
        ctx.rest = (least, most, gradient_scale, axis)
        if most >= _EXACT:  # the quotient is a bias's integer, which float32 would round a second time
            return (x.double() / size.double()).round_().clamp_(least, most).to(x.dtype).mul_(size)
        return (x / size).round_().clamp_(least, most).mul_(size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, step = ctx.saved_tensors
        least, most, gradient_scale, axis = ctx.rest
        v = x / _broadcast(step.to(x.dtype).clamp(min=SMALLEST_STEP), x.dim(), axis)
        inside = (v > least) & (v < most)
        of_x = gradient * inside if ctx.needs_input_grad[0] else None
        of_step = None
        if ctx.needs_input_grad[1]:
            slope = torch.where(inside, v.round() - v, v.clamp(least, most)).mul_(gradient)
            others = [d for d in range(x.dim()) if d != axis]
            total = slope.sum() if axis is None else slope.sum(others) if others else slope
            of_step = (total * gradient_scale).reshape(step.shape).to(step.dtype)
        return of_x, of_step, None, None, None, None


def _broadcast(step: Tensor, rank: int, axis: int | None) -> Tensor:
    if axis is None or step.numel() == 1:
        return step.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return step.reshape(shape)
