"""The masked original, made with torch alone: what was removed is zero in a copy of the source."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def masked_source(
    model: nn.Module,
    removed: Mapping[str, Mapping[int, tuple[int, ...]]],
    of_groups: Mapping[str, list[list[int]]] | None = None,
) -> nn.Module:
    """A copy whose removed slices are zero (in weights, biases, norms and statistics).

    ``of_groups`` has the inputs that each group of a grouped convolution loses, where they differ.
    """
    twin = copy.deepcopy(model).eval()
    state = {**dict(twin.named_parameters(remove_duplicate=False)), **dict(twin.named_buffers(remove_duplicate=False))}
    with torch.no_grad():
        for name, axes in removed.items():
            for axis, indices in axes.items():
                state[name].index_fill_(axis, torch.tensor(indices), 0.0)
        for name, groups in (of_groups or {}).items():
            for rows, indices in zip(state[name].chunk(len(groups)), groups, strict=True):
                rows.index_fill_(1, torch.tensor(indices), 0.0)
    return twin


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Statistics and offsets of a trained network, so that a forgotten beta shows."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: torch.Tensor, scale: float, shift: float = 0.0) -> None:
        tensor.data = torch.randn(tensor.shape, generator=generator) * scale + shift

    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            normal(module.running_mean, 0.5)  # type: ignore[arg-type]
            module.running_var = torch.rand(module.num_features, generator=generator) + 0.5
        norms = nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm | nn.InstanceNorm2d
        if isinstance(module, norms) and module.weight is not None:
            normal(module.weight, 0.3, 1.0)
            normal(module.bias, 0.5)
    return model.eval()


def outputs(result: Any) -> list[torch.Tensor]:
    """A model's outputs as a list."""
    return list(result) if isinstance(result, tuple | list) else [result]


def largest_difference(first: Any, second: Any) -> float:
    """Relative to the largest element of each output."""
    worst = 0.0
    for a, b in zip(outputs(first), outputs(second), strict=True):
        assert a.shape == b.shape
        worst = max(worst, float((a - b).abs().max()) / max(float(a.abs().max()), 1e-12))
    return worst
