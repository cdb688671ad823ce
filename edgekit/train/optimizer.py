"""Torch's optimizers over a student's parameters, and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

from edgekit.train.settings import Training


def optimizer_of(
    parameters: Iterable[nn.Parameter], settings: Training, undecayed: Collection[Tensor] = ()
) -> torch.optim.Optimizer:
    """The optimizer that the settings name; weight decay acts on parameters of two axes or more.

    Decay of biases and of norms' scales and shifts only costs accuracy (He et al. 2019, arXiv:1812.01187, section 3.1), and
    would fight the sparsity of scales. Nor does it act on ``undecayed`` ones.
    """
    trained, spared = [p for p in parameters if p.requires_grad], {id(tensor) for tensor in undecayed}
    decays = [p.dim() > 1 and id(p) not in spared for p in trained]
    groups = [
        {"params": [p for p, decay in zip(trained, decays, strict=True) if decay], "weight_decay": settings.weight_decay},
        {"params": [p for p, decay in zip(trained, decays, strict=True) if not decay], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        nesterov = settings.nesterov and settings.momentum > 0
        return torch.optim.SGD(groups, lr=settings.rate, momentum=settings.momentum, nesterov=nesterov)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.rate)


def learning_rate(settings: Training, step: int, steps: int) -> float:
    """The rate of one step of so many in a whole epoch.

    With t from 0 to 1 over the steps after the warm-up: "cosine" lr (1 + cos(pi t)) / 2 (Loshchilov & Hutter 2017,
    arXiv:1608.03983, without restarts), "linear" lr (1 - t), "step" lr, lr / 10 from t = 1/2 and lr / 100 from t = 3/4. In the
    warm-up it rises in a line.

    Args:
        settings: rate, schedule, warm-up and epochs.
        step: from 0 over all epochs.
        steps: in one epoch.
    """
    warm = round(settings.warmup * steps)
    if step < warm:
        return settings.rate * (step + 1) / warm
    total = max(settings.epochs * steps - warm, 1)
    t = min((step - warm) / total, 1.0)
    if settings.schedule == "cosine":
        return settings.rate * 0.5 * (1.0 + math.cos(math.pi * t))
    if settings.schedule == "linear":
        return settings.rate * (1.0 - t)
    if settings.schedule == "step":
        return settings.rate * (1.0 if t < 0.5 else 0.1 if t < 0.75 else 0.01)
    return settings.rate
