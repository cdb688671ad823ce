"""Signs that train: +1 and -1 in the forward pass, a gradient of their own in the backward pass. The sign of 0 is +1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Gradients of the sign of an activation.
GRADIENTS = ("clip", "polynomial")


def signs(x: Tensor) -> Tensor:
    """+1 where ``x >= 0``, else -1; shape and type of x."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def binary_activation(x: Tensor, gradient: str = "clip") -> Tensor:
    """The signs of x, with a straight-through gradient.

    "clip" (BNN, arXiv:1602.02830, eq. 4): g * 1[|x| <= 1]. "polynomial" (Bi-Real Net, arXiv:1808.00278, eq. 8; used by
    ReActNet, arXiv:2003.03488): g * (2 - 2|x|) where |x| < 1, else 0.
    """
    result: Tensor = _Activation.apply(x, gradient == "polynomial")  # type: ignore[no-untyped-call]
    return result


def binary_weight(latent: Tensor, scaled: bool = False, stochastic: bool = False) -> Tensor:
    """The weight that stands for a latent one, axis 0 of which is the output channel.

    Deterministic: sign(w) (BinaryConnect, arXiv:1511.00363, eq. 1). Stochastic: +1 with probability clip((w + 1) / 2, 0, 1),
    drawn anew (eqs. 2 and 3). The gradient goes through as it is: latents are clipped to [-1, 1] after every step.

    With ``scaled`` (XNOR-Net, arXiv:1603.05279, eqs. 6 and 11), alpha sign(w), alpha the mean of |w| of each output channel, n
    its elements: the gradient is g * (1 / n + alpha).
    """
    result: Tensor = _Weight.apply(latent, scaled, stochastic)  # type: ignore[no-untyped-call]
    return result


def channel_scales(latent: Tensor) -> Tensor:
    """The mean of |w| of every output channel (axis 0), shaped to broadcast against w."""
    return latent.abs().mean(list(range(1, latent.dim())), keepdim=True)


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, polynomial: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.polynomial = polynomial
        return signs(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,), gradient = ctx.saved_tensors, gradients[0]
        if ctx.polynomial:
            return gradient * (2 - 2 * x.abs()).clamp_(min=0), None
        return gradient * (x.abs() <= 1), None


class _Weight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latent: Tensor, scaled: bool, stochastic: bool) -> Tensor:
        drawn = torch.bernoulli(((latent + 1) / 2).clamp_(0, 1)) * 2 - 1 if stochastic else signs(latent)
        ctx.factor = None
        if not scaled:
            return drawn
        alpha = channel_scales(latent)
        ctx.factor = alpha + 1.0 / latent[0].numel()
        return drawn * alpha

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0] if ctx.factor is None else gradients[0] * ctx.factor, None, None
