"""Rounding to a grid whose step is learned: the forward pass of ``fake_quantize`` with the gradients of LSQ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: The smallest step: a step that training pushes to zero or below acts as this one, and may come back.
SMALLEST_STEP = 1e-12

#: From here on float32 does not hold every integer.
_EXACT = 2**24


def learned_step(x: Tensor, step: Tensor, least: int, most: int, gradient_scale: float, axis: int | None = None) -> Tensor:
    """``step * clamp(round(x / step), least, most)``, rounding half to even.

    Learned Step Size Quantization (Esser et al. 2020, arXiv:1902.08153). With v = x / step, the gradients are (eq. 5)::

        d/dx    = 1 where least <= v <= most, else 0
        d/dstep = gradient_scale * sum(round(v) - v  where least <= v <= most;  least where v < least;  most where v > most)

    (the paper counts the ends themselves as outside) and (eq. 3) ``step`` learns at the pace of the weights with
    ``gradient_scale`` = 1 / sqrt(N * Q_P), N the elements that share the step. An asymmetric grid with an integer zero point
    z is the one from ``least`` = qmin - z to ``most`` = qmax - z.

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
        # Where the quotient is a bias's integer, float32 would round it a second time.
        v = x.double() / size.double() if most >= _EXACT else x / size
        kept = v.clamp(least, most)
        rounded = kept.round()
        inside, slope = torch.empty(0), torch.empty(0)
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
            inside = kept == v
        if ctx.needs_input_grad[1] and gradient_scale:
            slope = torch.where(inside, rounded - kept, rounded).to(x.dtype)
        ctx.save_for_backward(inside, slope)
        ctx.rest = (gradient_scale, axis, step.shape, step.dtype)
        return rounded.to(x.dtype).mul_(size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        inside, slope = ctx.saved_tensors
        gradient_scale, axis, shape, dtype = ctx.rest
        of_x = gradient * inside if ctx.needs_input_grad[0] else None
        of_step = None
        if ctx.needs_input_grad[1] and not gradient_scale:
            of_step = gradient.new_zeros(shape, dtype=dtype)
        elif ctx.needs_input_grad[1]:
            others = [d for d in range(slope.dim()) if d != axis]
            if axis is None:
                total = torch.dot(slope.reshape(-1), gradient.reshape(-1))
            else:
                total = (slope * gradient).sum(others) if others else slope * gradient
            of_step = (total * gradient_scale).reshape(shape).to(dtype)
        return of_x, of_step, None, None, None, None


def _broadcast(step: Tensor, rank: int, axis: int | None) -> Tensor:
    if axis is None or step.numel() == 1:
        return step.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return step.reshape(shape)
