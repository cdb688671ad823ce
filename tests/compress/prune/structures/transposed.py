"""Transposed convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.compress.prune.structures.common import cbr, conv, net, structure

structure("transposed convolution")(
    lambda: nn.Sequential(cbr(3, 8), nn.ConvTranspose2d(8, 6, 2, 2), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 2))
)
structure("grouped transposed convolution")(
    lambda: nn.Sequential(cbr(3, 8), nn.ConvTranspose2d(8, 12, 2, 2, groups=2), nn.ReLU(), conv(12, 2))
)
structure("depthwise transposed convolution")(
    lambda: nn.Sequential(cbr(3, 8), nn.ConvTranspose2d(8, 16, 2, 2, groups=8), nn.ReLU(), conv(16, 2))
)
net(
    "U-Net",
    lambda m, x: m.o(m.u(torch.cat([m.up(m.c(m.b(F.max_pool2d(y := m.a(x), 2)))), y], 1))),
    lambda: {
        "a": cbr(3, 8),
        "b": cbr(8, 12),
        "c": cbr(12, 12),
        "up": nn.ConvTranspose2d(12, 8, 2, 2),
        "u": cbr(16, 8),
        "o": conv(8, 2),
    },
)
