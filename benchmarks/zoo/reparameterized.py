"""Branches that become one convolution after training: RepVGG, MobileOne; and MnasNet, FBNet's kind of found networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import SqueezeExcite, cbr, classifier, enter
from benchmarks.zoo.mobilenets import InvertedResidual


class Branches(nn.Module):
    """3x3 several times over, 1x1 and identity, each with a norm, added (arXiv:2101.03697; arXiv:2206.04040)."""

    def __init__(self, i: int, o: int, stride: int, *, groups: int = 1, copies: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.convs = nn.ModuleList([cbr(i, o, kernel, stride, groups=groups, act=None) for _ in range(copies)])
        self.point = cbr(i, o, 1, stride, groups=groups, act=None) if kernel > 1 else None
        self.same = nn.BatchNorm2d(i) if i == o and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs[0](x)
        for conv in list(self.convs)[1:]:
            y = y + conv(x)
        if self.point is not None:
            y = y + self.point(x)
        if self.same is not None:
            y = y + self.same(x)
        return F.relu(y)


def repvgg(widths: Sequence[int], repeats: Sequence[int], classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width, count in zip(widths, repeats, strict=True):
        for step in range(count):
            layers.append(Branches(channels, width, 2 if step == 0 else 1))
            channels = width
    return nn.Sequential(*layers, classifier(channels, classes))


def mobileone(widths: Sequence[int], repeats: Sequence[int], copies: int, classes: int) -> nn.Module:
    """Depthwise and pointwise convolutions in ``copies`` branches each."""
    layers: list[nn.Module] = [Branches(3, widths[0], 2)]
    channels = widths[0]
    for width, count in zip(widths[1:], repeats, strict=True):
        for step in range(count):
            layers.append(Branches(channels, channels, 2 if step == 0 else 1, groups=channels, copies=copies))
            layers.append(Branches(channels, width, 1, copies=copies, kernel=1))
            channels = width
    return nn.Sequential(*layers, classifier(channels, classes))


#: Expansion, channels, repeats, stride, kernel, gated.
Row = tuple[int, int, int, int, int, bool]
A1: tuple[Row, ...] = (
    (6, 24, 2, 2, 3, False), (3, 40, 3, 2, 5, True), (6, 80, 4, 2, 3, False), (6, 112, 2, 1, 3, True),
    (6, 160, 3, 2, 5, True), (6, 320, 1, 1, 3, False),
)  # fmt: skip


def mnasnet(plan: Sequence[Row], last: int, classes: int) -> nn.Module:
    """Tan et al. 2018, arXiv:1807.11626."""
    layers: list[nn.Module] = [cbr(3, 32, 3, 2), cbr(32, 32, groups=32), cbr(32, 16, 1, act=None)]
    channels = 16
    for expansion, out, repeats, stride, kernel, gated in plan:
        for step in range(repeats):
            wide = expansion * channels
            gate = SqueezeExcite(wide, max(1, channels // 4)) if gated else None
            layers.append(InvertedResidual(channels, wide, out, kernel, stride if step == 0 else 1, nn.ReLU, gate))
            channels = out
    return nn.Sequential(*layers, cbr(channels, last, 1), classifier(last, classes))


enter(
    "RepVGG-A0",
    lambda: repvgg((16, 24), (1, 2), 10),
    lambda: repvgg((48, 48, 96, 192, 1280), (1, 2, 4, 14, 1), 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    share=0.4,
    quick=False,
)
enter(
    "MobileOne-S0",
    lambda: mobileone((16, 24, 32), (1, 2), 2, 10),
    lambda: mobileone((48, 48, 128, 256, 1024), (2, 8, 10, 1), 4, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    share=0.4,
    quick=False,
)
enter(
    "MnasNet-A1",
    lambda: mnasnet(A1[:2], 64, 10),
    lambda: mnasnet(A1, 1280, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    quick=False,
)
