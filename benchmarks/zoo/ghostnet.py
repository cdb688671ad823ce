"""GhostNet: half of the channels come from cheap depthwise convolutions (Han et al. 2019, arXiv:1911.11907)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.zoo.common import SqueezeExcite, cbr, divisible, enter


class Ghost(nn.Module):
    """``ceil(o / 2)`` channels by a 1x1 convolution, as many again by a depthwise one, cut to ``o``."""

    def __init__(self, i: int, o: int, act: type[nn.Module] | None) -> None:
        super().__init__()
        self.out, own = o, -(-o // 2)
        self.primary, self.cheap = cbr(i, own, 1, act=act), cbr(own, own, 3, groups=own, act=act)

    def forward(self, x: Tensor) -> Tensor:
        y = self.primary(x)
        return torch.cat([y, self.cheap(y)], 1)[:, : self.out]


class GhostBottleneck(nn.Module):
    def __init__(self, i: int, wide: int, o: int, k: int, s: int, gated: bool) -> None:
        super().__init__()
        between = [cbr(wide, wide, k, 2, groups=wide, act=None)] if s == 2 else []
        gate = [SqueezeExcite(wide, divisible(wide / 4, 4), gate=nn.Hardsigmoid)] if gated else []
        self.body = nn.Sequential(Ghost(i, wide, nn.ReLU), *between, *gate, Ghost(wide, o, None))
        same = s == 1 and i == o
        self.shortcut = nn.Identity() if same else nn.Sequential(cbr(i, i, k, s, groups=i, act=None), cbr(i, o, 1, act=None))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


Row = tuple[int, int, int, bool, int]  # kernel, expanded, out, gate, stride
PLAN: tuple[Row, ...] = (
    (3, 16, 16, False, 1), (3, 48, 24, False, 2), (3, 72, 24, False, 1), (5, 72, 40, True, 2), (5, 120, 40, True, 1),
    (3, 240, 80, False, 2), (3, 200, 80, False, 1), (3, 184, 80, False, 1), (3, 184, 80, False, 1), (3, 480, 112, True, 1),
    (3, 672, 112, True, 1), (5, 672, 160, True, 2), (5, 960, 160, False, 1), (5, 960, 160, True, 1),
)  # fmt: skip


def ghostnet(plan: Sequence[Row], last: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [cbr(3, 16, 3, 2)]
    channels = 16
    for k, wide, out, gated, stride in plan:
        layers.append(GhostBottleneck(channels, wide, out, k, stride, gated))
        channels = out
    head = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(plan[-1][1], last, 1), nn.ReLU(), nn.Flatten(), nn.Linear(last, classes)]
    return nn.Sequential(*layers, cbr(channels, plan[-1][1], 1), *head)


enter(
    "GhostNet",
    lambda: ghostnet(PLAN[:4], 128, 10),
    lambda: ghostnet(PLAN, 1280, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    share=0.36,
    quick=False,
)
