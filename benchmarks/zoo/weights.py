"""Networks as training leaves them: scales that differ between channels, norms with statistics of what went through them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmarks.zoo.common import Architecture

_NORMS = nn.BatchNorm1d | nn.BatchNorm2d
_WEIGHTED = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.Linear


def inputs_of(architecture: Architecture, full: bool, batch: int, seed: int) -> tuple[Tensor, ...]:
    """Random inputs, tokens where the network takes them."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, *shape) for shape in architecture.shapes(full)]
    if architecture.tokens:
        return tuple(torch.randint(0, architecture.tokens, shape, generator=generator) for shape in shapes)
    return tuple(_smooth(shape, generator) for shape in shapes)


def _smooth(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Noise over slow changes along the last dimension, as neighbouring pixels and samples have them."""
    slow = torch.randn(*shape[:-1], max(2, shape[-1] // 8), generator=generator).flatten(0, -2).unsqueeze(1)
    slow = nn.functional.interpolate(slow, shape[-1], mode="linear").reshape(shape)
    return (slow + 0.3 * torch.randn(shape, generator=generator)).clamp(-3, 3)


def as_if_trained(model: nn.Module, example: tuple[Tensor, ...], seed: int) -> nn.Module:
    """Spreads the scales of output channels, gives norms an affine part and batch norms the statistics of ``example``.

    The model itself, in evaluation mode.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: Tensor, scale: float, shift: float = 0.0) -> None:
        tensor.data = torch.randn(tensor.shape, generator=generator) * scale + shift

    for module in model.modules():
        if isinstance(module, _WEIGHTED):
            axis = 1 if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d) else 0
            spread = torch.exp(0.3 * torch.randn(module.weight.shape[axis], generator=generator))
            shape = [-1 if i == axis else 1 for i in range(module.weight.ndim)]
            module.weight.data *= spread.view(shape)
        elif isinstance(module, _NORMS | nn.LayerNorm | nn.GroupNorm) and module.weight is not None:
            normal(module.weight, 0.2, 1.0)
            normal(module.bias, 0.2)
    _measure(model, example)
    return model.eval()


def _measure(model: nn.Module, example: tuple[Tensor, ...]) -> None:
    norms = [m for m in model.modules() if isinstance(m, _NORMS)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        model(*example)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
        assert norm.running_var is not None and math.isfinite(float(norm.running_var.sum()))
