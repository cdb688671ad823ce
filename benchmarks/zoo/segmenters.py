"""Segmenters that run on phones: Fast-SCNN, LR-ASPP, ENet's bottlenecks, PP-LiteSeg's attention between two scales."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import cbr, enter
from benchmarks.zoo.mobilenets import InvertedResidual


def separable(i: int, o: int, stride: int = 1) -> nn.Sequential:
    """Depthwise, pointwise."""
    return nn.Sequential(cbr(i, i, 3, stride, groups=i), cbr(i, o, 1))


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=False)


class PyramidPooling(nn.Module):
    """Means over grids of several sizes, resized and joined (arXiv:1612.01105)."""

    def __init__(self, channels: int, grids: Sequence[int]) -> None:
        super().__init__()
        each = channels // len(grids)
        self.paths = nn.ModuleList([nn.Sequential(nn.AdaptiveAvgPool2d(g), cbr(channels, each, 1)) for g in grids])
        self.join = cbr(channels + each * len(grids), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([x, *[resized(path(x), x.shape[2:]) for path in self.paths]], 1))


class FastSCNN(nn.Module):
    """Learning to downsample, global features, both fused (Poudel et al. 2019, arXiv:1902.04502)."""

    def __init__(self, down: Sequence[int], deep: Sequence[int], repeats: int, inner: int, classes: int) -> None:
        super().__init__()
        self.down = nn.Sequential(cbr(3, down[0], 3, 2), *[separable(i, o, 2) for i, o in itertools.pairwise(down)])
        layers: list[nn.Module] = []
        for number, (i, o) in enumerate(itertools.pairwise((down[-1], *deep))):
            layers += [InvertedResidual(i, 6 * i, o, 3, 2 if number < 2 else 1, nn.ReLU)]
            layers += [InvertedResidual(o, 6 * o, o, 3, 1, nn.ReLU) for _ in range(repeats - 1)]
        self.deep = nn.Sequential(*layers, PyramidPooling(deep[-1], (1, 2)))
        self.coarse = nn.Sequential(cbr(deep[-1], deep[-1], groups=deep[-1]), cbr(deep[-1], inner, 1, act=None))
        self.fine = cbr(down[-1], inner, 1, act=None)
        self.head = nn.Sequential(
            separable(inner, inner), separable(inner, inner), nn.Dropout(0.1), nn.Conv2d(inner, classes, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down(x)
        coarse = self.coarse(resized(self.deep(fine), fine.shape[2:]))
        return resized(self.head(F.relu(coarse + self.fine(fine))), x.shape[2:])


class LRASPP(nn.Module):
    """A gate from the global mean over the deep features, low features beside (MobileNetV3's head, arXiv:1905.02244)."""

    def __init__(self, widths: Sequence[int], inner: int, classes: int) -> None:
        super().__init__()
        act = nn.Hardswish
        self.low = nn.Sequential(cbr(3, widths[0], 3, 2, act=act), InvertedResidual(widths[0], 64, widths[1], 3, 2, act))
        self.high = nn.Sequential(*[InvertedResidual(i, 4 * i, o, 5, 2, act) for i, o in itertools.pairwise(widths[1:])])
        self.values = cbr(widths[-1], inner, 1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[-1], inner, 1, bias=False), nn.Sigmoid())
        self.from_low, self.from_high = nn.Conv2d(widths[1], classes, 1), nn.Conv2d(inner, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        low = self.low(x)
        high = self.high(low)
        high = resized(self.values(high) * self.gate(high), low.shape[2:])
        return resized(self.from_low(low) + self.from_high(high), x.shape[2:])


class ENetBottleneck(nn.Module):
    """1x1, a convolution (dilated or in two factors), 1x1; PReLU (Paszke et al. 2016, arXiv:1606.02147)."""

    def __init__(self, channels: int, dilation: int, factored: bool) -> None:
        super().__init__()
        inner = channels // 4
        if factored:
            middle: list[nn.Module] = [
                nn.Conv2d(inner, inner, (5, 1), padding=(2, 0), bias=False),
                nn.Conv2d(inner, inner, (1, 5), padding=(0, 2), bias=False),
            ]
        else:
            middle = [nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation, bias=False)]
        act = nn.PReLU
        self.body = nn.Sequential(
            cbr(channels, inner, 1, act=act), *middle, nn.BatchNorm2d(inner), act(), cbr(inner, channels, 1, act=None)
        )
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.body(x))


class ENet(nn.Module):
    """The initial block joins a convolution and a pool of the same image; transposed convolutions lead up."""

    def __init__(self, width: int, plan: Sequence[tuple[int, bool]], classes: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, width // 4 - 3, 3, 2, 1, bias=False), nn.BatchNorm2d(width // 4)
        self.act, self.down = nn.PReLU(width // 4), cbr(width // 4, width, 2, 2, act=nn.PReLU)
        self.down[0].padding = (0, 0)
        self.body = nn.Sequential(*[ENetBottleneck(width, dilation, factored) for dilation, factored in plan])
        self.up = nn.ConvTranspose2d(width, width // 4, 3, 2, 1, 1, bias=False)
        self.up_norm, self.last = nn.BatchNorm2d(width // 4), nn.ConvTranspose2d(width // 4, classes, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(torch.cat([self.first(x), F.max_pool2d(x, 2)], 1)))
        x = self.body(self.down(x))
        return self.last(F.relu(self.up_norm(self.up(x))))


class LiteSeg(nn.Module):
    """Two scales weighted by what the mean and maximum over their channels say (Peng et al. 2022, arXiv:2204.02681)."""

    def __init__(self, widths: Sequence[int], inner: int, classes: int) -> None:
        super().__init__()
        self.stem = cbr(3, widths[0], 3, 2)
        self.stages = nn.ModuleList([nn.Sequential(cbr(i, o, 3, 2), cbr(o, o)) for i, o in itertools.pairwise(widths)])
        self.low, self.high = cbr(widths[1], inner, 1), cbr(widths[-1], inner, 1)
        self.weigh = nn.Sequential(cbr(4, 4), nn.Conv2d(4, 1, 3, padding=1), nn.Sigmoid())
        self.head = nn.Sequential(cbr(inner, inner), nn.Conv2d(inner, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        y, features = self.stem(x), []
        for stage in self.stages:
            y = stage(y)
            features.append(y)
        low = self.low(features[0])
        high = resized(self.high(features[-1]), low.shape[2:])
        signs = [f(v, 1, keepdim=True) for v in (high, low) for f in (torch.mean, torch.amax)]
        weight = self.weigh(torch.cat(signs, 1))
        return resized(self.head(high * weight + low * (1 - weight)), x.shape[2:])


enter(
    "Fast-SCNN",
    lambda: FastSCNN((16, 16), (24, 32), 1, 24, 4),
    lambda: FastSCNN((32, 48, 64), (64, 96, 128), 3, 128, 19),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    quick=False,
)
enter(
    "LR-ASPP",
    lambda: LRASPP((16, 16, 24), 24, 4),
    lambda: LRASPP((16, 24, 40, 112, 160), 128, 21),
    shape=(3, 32, 32),
    full_shape=(3, 96, 96),
    quick=False,
)
enter(
    "ENet",
    lambda: ENet(32, ((1, False), (2, False), (1, True)), 4),
    lambda: ENet(128, ((1, False), (2, False), (1, True), (4, False), (1, False), (8, False), (1, True), (16, False)) * 2, 19),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    share=0.45,
    alone=r"^(first|down\.0)\.weight",
    quick=False,
)
enter(
    "PP-LiteSeg",
    lambda: LiteSeg((16, 24, 32), 24, 4),
    lambda: LiteSeg((32, 64, 256, 512), 64, 19),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    channels=True,
    quick=False,
)
