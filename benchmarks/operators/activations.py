"""Activations and the softmax family."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.operators.row import Row, function, layer

IMAGE, ROWS_OF = (4, 9, 8), (6,)


def _plain(name: str, module: nn.Module, **bounds: object) -> Row:
    return layer(name, lambda *shapes: module, IMAGE, any_rank=True, **bounds)


ROWS = (
    _plain("nn.ReLU", nn.ReLU()),
    _plain("nn.ReLU6", nn.ReLU6()),
    _plain("nn.Hardtanh", nn.Hardtanh()),
    _plain("nn.Hardtanh(-2, 3)", nn.Hardtanh(-2, 3)),
    _plain("nn.LeakyReLU", nn.LeakyReLU(0.2)),
    layer("nn.PReLU", lambda x: nn.PReLU(), IMAGE, any_rank=True),
    layer("nn.PReLU, per channel", lambda x: nn.PReLU(x[0]), IMAGE),
    _plain("nn.RReLU", nn.RReLU()),
    _plain("nn.ELU", nn.ELU(0.7)),
    _plain("nn.SELU", nn.SELU()),
    _plain("nn.CELU", nn.CELU(2.0)),
    _plain("nn.GELU", nn.GELU()),
    _plain("nn.GELU('tanh')", nn.GELU("tanh")),
    _plain("nn.SiLU", nn.SiLU()),
    _plain("nn.Mish", nn.Mish()),
    _plain("nn.Hardswish", nn.Hardswish()),
    _plain("nn.Hardsigmoid", nn.Hardsigmoid()),
    _plain("nn.Sigmoid", nn.Sigmoid()),
    _plain("nn.Tanh", nn.Tanh()),
    _plain("nn.LogSigmoid", nn.LogSigmoid()),
    _plain("nn.Softplus", nn.Softplus()),
    _plain("nn.Softplus(2, threshold=1)", nn.Softplus(2.0, 1.0)),
    _plain("nn.Softsign", nn.Softsign()),
    _plain("nn.Tanhshrink", nn.Tanhshrink()),
    _plain("nn.Hardshrink", nn.Hardshrink(), jumps=True),
    _plain("nn.Softshrink", nn.Softshrink()),
    _plain("nn.Threshold", nn.Threshold(0.1, 0.5), jumps=True),
    layer("nn.GLU", lambda x: nn.GLU(1), IMAGE),
    _plain("nn.Softmax, last axis", nn.Softmax(-1)),
    _plain("nn.Softmax, channels", nn.Softmax(1)),
    layer("nn.Softmax2d", lambda x: nn.Softmax2d(), IMAGE),
    _plain("nn.Softmin", nn.Softmin(-1)),
    _plain("nn.LogSoftmax", nn.LogSoftmax(-1)),
    _plain("nn.Dropout", nn.Dropout()),
    _plain("nn.Identity", nn.Identity()),
    function("F.relu of integers", lambda x: F.relu((x * 10).int()), ROWS_OF, jumps=True),
    function("F.normalize", lambda x: F.normalize(x, dim=1), IMAGE),
    function("F.one_hot of argmax", lambda x: F.one_hot(x.argmax(-1), 6).float(), ROWS_OF, jumps=True),
    function("torch.relu_, in place", lambda x: torch.relu_(x * 2), IMAGE, any_rank=True),
)
