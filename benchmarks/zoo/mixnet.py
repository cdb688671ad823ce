"""MixNet: depthwise kernels of several sizes over a split (Tan & Le 2019, arXiv:1907.09595)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.zoo.common import SqueezeExcite, cbr, classifier, enter


def parts(channels: int, count: int) -> list[int]:
    """As even as possible; the first takes the rest."""
    each = channels // count
    return [channels - each * (count - 1), *[each] * (count - 1)]


class Mixed(nn.Module):
    """One kernel size for each part of the channels."""

    def __init__(self, i: int, o: int, kernels: Sequence[int], s: int = 1, *, depthwise: bool) -> None:
        super().__init__()
        self.sizes, outs = parts(i, len(kernels)), parts(o, len(kernels))
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, k, s, k // 2, groups=a if depthwise else 1, bias=False)
            for a, b, k in zip(self.sizes, outs, kernels, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([layer(part) for layer, part in zip(self.layers, x.split(self.sizes, 1), strict=True)], 1)


class MixBlock(nn.Module):
    """An inverted residual; ``points`` parts in both 1x1 convolutions."""

    def __init__(self, i: int, o: int, expansion: int, kernels: Sequence[int], points: int, s: int, squeeze: int) -> None:
        super().__init__()
        wide, ones = i * expansion, [1] * points
        gate = [SqueezeExcite(wide, max(1, i // squeeze), nn.SiLU)] if squeeze else []
        self.body = nn.Sequential(
            Mixed(i, wide, ones, depthwise=False), nn.BatchNorm2d(wide), nn.SiLU(),
            Mixed(wide, wide, kernels, s, depthwise=True), nn.BatchNorm2d(wide), nn.SiLU(), *gate,
            Mixed(wide, o, ones, depthwise=False), nn.BatchNorm2d(o),
        )  # fmt: skip
        self.adds = s == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


Row = tuple[int, int, Sequence[int], int, int, int]  # out, expansion, kernels, parts of the 1x1, stride, squeeze
PLAN: tuple[Row, ...] = (
    (16, 1, (3,), 1, 1, 0), (24, 6, (3,), 2, 2, 0), (24, 3, (3,), 2, 1, 0), (40, 6, (3, 5, 7), 1, 2, 2),
    (40, 6, (3, 5), 2, 1, 2), (80, 6, (3, 5, 7), 2, 2, 4), (80, 6, (3, 5), 2, 1, 4),
    (120, 6, (3, 5, 7), 2, 1, 2), (120, 3, (3, 5, 7, 9), 2, 1, 2),
    (200, 6, (3, 5, 7, 9, 11), 1, 2, 2), (200, 6, (3, 5, 7, 9), 2, 1, 2),
)  # fmt: skip


def mixnet(plan: Sequence[Row], last: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [cbr(3, 16, 3, 2)]
    channels = 16
    for out, expansion, kernels, points, stride, squeeze in plan:
        layers.append(MixBlock(channels, out, expansion, kernels, points, stride, squeeze))
        channels = out
    return nn.Sequential(*layers, cbr(channels, last, 1), classifier(last, classes))


enter(
    "MixNet-S", lambda: mixnet(PLAN[1:5], 128, 10), lambda: mixnet(PLAN, 1536, 1000), shape=(3, 32, 32), full_shape=(3, 64, 64)
)
