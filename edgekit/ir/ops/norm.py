"""Normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from edgekit.ir.ops.base import Op, same_type
from edgekit.ir.types import TensorType


@dataclass(frozen=True)
class _Norm(Op):
    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return same_type(self, *types)


@dataclass(frozen=True)
class BatchNorm(_Norm):
    """(x - mean) / sqrt(var + eps) * weight + bias per channel (axis 1) (Ioffe & Szegedy 2015, arXiv:1502.03167).

    In training the batch's own statistics are used and the running ones are updated in place: with ``momentum``, or as the
    cumulative average over ``batches`` where momentum is None. A ``frozen`` one uses the running statistics in training
    too.
    """

    inputs = ("x", "weight?", "bias?", "mean", "var", "batches?")
    eps: float = 1e-5
    momentum: float | None = 0.1
    frozen: bool = False
    acts_in_training = True

    def run(
        self,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        mean: torch.Tensor,
        var: torch.Tensor,
        batches: torch.Tensor | None = None,
        training: bool = False,
        **_: Any,
    ) -> torch.Tensor:
        momentum = 0.0
        training = training and not self.frozen
        if training:
            if batches is not None:
                batches.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(batches) if batches is not None else 0.0
            else:
                momentum = self.momentum
        return F.batch_norm(x, mean, var, weight, bias, training, momentum, self.eps)


@dataclass(frozen=True)
class LayerNorm(_Norm):
    """Normalises over the last ``axes`` dimensions (Ba et al. 2016, arXiv:1607.06450)."""

    inputs = ("x", "weight?", "bias?")
    axes: int = 1
    eps: float = 1e-5

    def run(
        self, x: torch.Tensor, weight: torch.Tensor | None = None, bias: torch.Tensor | None = None, **_: Any
    ) -> torch.Tensor:
        return F.layer_norm(x, x.shape[x.dim() - self.axes :], weight, bias, self.eps)


@dataclass(frozen=True)
class RmsNorm(_Norm):
    """x / sqrt(mean(x^2) + eps) * weight over the last ``axes`` dimensions (Zhang & Sennrich 2019, arXiv:1910.07467)."""

    inputs = ("x", "weight?")
    axes: int = 1
    eps: float = 1e-6

    def run(self, x: torch.Tensor, weight: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        return F.rms_norm(x, list(x.shape[x.dim() - self.axes :]), weight, self.eps)


@dataclass(frozen=True)
class GroupNorm(_Norm):
    """Normalises over each of ``groups`` groups of channels and all positions (Wu & He 2018, arXiv:1803.08494)."""

    inputs = ("x", "weight?", "bias?")
    groups: int = 1
    eps: float = 1e-5

    def run(
        self, x: torch.Tensor, weight: torch.Tensor | None = None, bias: torch.Tensor | None = None, **_: Any
    ) -> torch.Tensor:
        return F.group_norm(x, self.groups, weight, bias, self.eps)


@dataclass(frozen=True)
class InstanceNorm(_Norm):
    """Normalises each channel of each sample over its positions (Ulyanov et al. 2016, arXiv:1607.08022)."""

    inputs = ("x", "weight?", "bias?")
    eps: float = 1e-5

    def run(
        self, x: torch.Tensor, weight: torch.Tensor | None = None, bias: torch.Tensor | None = None, **_: Any
    ) -> torch.Tensor:
        return F.instance_norm(x, None, None, weight, bias, True, 0.0, self.eps)
