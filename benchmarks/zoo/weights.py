"""Networks as training leaves them: filters laid on what they see, uneven channels, norms with measured statistics.

A network of independent random weights is unlike a trained one in what matters for rounding: it is chaotic. Behind each norm
and rectifier the part of a signal that depends on the input is smaller and any error as large as before, so a short
MobileNetV1 makes an error of the input 25 dB larger, relative to the signal, on its way to the output. MLPerf Tiny's trained
ResNet-8, DS-CNN and MobileNetV1 and a trained ResNet-20 make it 9 to 11 dB larger: their filters answer to what their inputs
are made of, which errors are not. Every step of gradient descent adds to a filter a combination of the patches that it saw.
So here three quarters of each filter's energy are a random combination of such patches (data-dependent initialisation:
Krahenbuhl et al. 2015, arXiv:1511.06856; one layer after the other as in Mishkin & Matas 2015, arXiv:1511.06422), and the rest
stays random: the short MobileNetV1 then makes an error 3 dB larger.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmarks.zoo.common import Architecture

#: The share of a filter's energy that is laid on its inputs, and patches that are combined.
_LAID, _PATCHES = 0.75, 256

_NORMS = nn.BatchNorm1d | nn.BatchNorm2d
_LAYABLE = nn.Conv1d | nn.Conv2d | nn.Linear
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
    """Spreads the scales of output channels, gives norms an affine part, lays filters on what they see of ``example`` and
    gives batch norms its statistics.

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
    _see(model, example, generator)
    return model.eval()


def _see(model: nn.Module, example: tuple[Tensor, ...], generator: torch.Generator) -> None:
    """Runs ``example`` twice: filters are laid on their inputs one after the other, then batch norms take their statistics."""
    laid: set[int] = set()

    def lay(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, _LAYABLE)
        if id(module.weight) not in laid:  # once, of a layer that is called again or shares its weight
            laid.add(id(module.weight))
            module.weight.data = _laid(module, inputs[0].detach(), generator)

    hooks = [m.register_forward_pre_hook(lay) for m in model.modules() if isinstance(m, _LAYABLE)]
    _measure(model, example)
    for hook in hooks:
        hook.remove()
    _measure(model, example)


def _laid(module: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """The weight, part of each filter replaced by a random combination of patches of ``x``; its size is kept."""
    assert isinstance(module, _LAYABLE)
    weight = module.weight.detach()
    groups = 1 if isinstance(module, nn.Linear) else module.groups
    patches = _patches(module, x, generator).reshape(-1, groups, weight[0].numel()).transpose(0, 1)
    patches = patches - patches.mean(1, keepdim=True)
    combined = torch.randn(groups, len(weight) // groups, patches.shape[1], generator=generator) @ patches
    combined = combined.reshape(len(weight), -1)
    flat = weight.flatten(1)
    sizes, found = flat.norm(dim=1, keepdim=True), combined.norm(dim=1, keepdim=True)
    combined = torch.where(found > 0, combined * sizes / found.clamp(min=1e-12), flat)
    return (math.sqrt(_LAID) * combined + math.sqrt(1 - _LAID) * flat).reshape(weight.shape)


def _patches(module: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """What a filter sees at some places, (places, input channels * kernel)."""
    if isinstance(module, nn.Linear):
        rows = x.reshape(-1, x.shape[-1])
        return rows[torch.randint(len(rows), (_PATCHES,), generator=generator)]
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    sizes, steps, gaps = ((1, *each)[-2:] for each in (module.kernel_size, module.stride, module.dilation))
    if isinstance(module.padding, tuple):
        around = (0, *module.padding)[-2:]
    else:  # "same"
        around = tuple(gap * (size - 1) // 2 for size, gap in zip(sizes, gaps, strict=True))
    planes = nn.functional.pad(x.unsqueeze(2) if x.dim() == 3 else x, (around[1], around[1], around[0], around[0]))
    samples = torch.randint(len(planes), (_PATCHES,), generator=generator)
    places = []
    for extent, size, step, gap in zip(planes.shape[2:], sizes, steps, gaps, strict=True):
        count = (extent - gap * (size - 1) - 1) // step + 1
        starts = step * torch.randint(count, (_PATCHES,), generator=generator)
        places.append(starts.unsqueeze(1) + gap * torch.arange(size))
    taken = planes[samples[:, None, None], :, places[0][:, :, None], places[1][:, None, :]]
    return taken.permute(0, 3, 1, 2).flatten(1)


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
