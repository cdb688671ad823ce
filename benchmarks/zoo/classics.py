"""LeNet-5, VGG, SqueezeNet, GoogLeNet, RegNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import SqueezeExcite, cbr, classifier, enter


def lenet() -> nn.Module:
    """LeCun et al. 1998."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def vgg(plan: Sequence[int], hidden: int, classes: int) -> nn.Module:
    """Simonyan & Zisserman 2014, arXiv:1409.1556, with batch norm; 0 is a pool."""
    layers: list[nn.Module] = []
    channels = 3
    for out in plan:
        layers.append(cbr(channels, out) if out else nn.MaxPool2d(2))
        channels = out or channels
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, hidden), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, *head, nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, classes))


class Fire(nn.Module):
    """Iandola et al. 2016, arXiv:1602.07360; ``bypass`` adds the input."""

    def __init__(self, i: int, squeezed: int, each: int, bypass: bool) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(i, squeezed, 1)
        self.one, self.three, self.bypass = nn.Conv2d(squeezed, each, 1), nn.Conv2d(squeezed, each, 3, padding=1), bypass

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.squeeze(x))
        z = torch.cat([F.relu(self.one(y)), F.relu(self.three(y))], 1)
        return x + z if self.bypass else z


def squeezenet(stages: Sequence[Sequence[tuple[int, int]]], classes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 2), nn.ReLU()]
    channels = 64
    for stage in stages:
        layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        for squeezed, each in stage:
            layers.append(Fire(channels, squeezed, each, channels == 2 * each))
            channels = 2 * each
    head = [nn.Dropout(0.5), nn.Conv2d(channels, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head)


class Inception(nn.Module):
    """Four branches side by side (Szegedy et al. 2014, arXiv:1409.4842)."""

    def __init__(self, i: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.one = cbr(i, one, 1)
        self.three = nn.Sequential(cbr(i, three[0], 1), cbr(three[0], three[1]))
        self.five = nn.Sequential(cbr(i, five[0], 1), cbr(five[0], five[1], 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), cbr(i, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


Row = tuple[int, tuple[int, int], tuple[int, int], int]
GOOGLENET: tuple[tuple[Row, ...], ...] = (
    ((64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64)),
    ((192, (96, 208), (16, 48), 64), (160, (112, 224), (24, 64), 64), (128, (128, 256), (24, 64), 64),
     (112, (144, 288), (32, 64), 64), (256, (160, 320), (32, 128), 128)),
    ((256, (160, 320), (32, 128), 128), (384, (192, 384), (48, 128), 128)),
)  # fmt: skip


def googlenet(stages: Sequence[Sequence[Row]], stem: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [cbr(3, stem, 7, 2), nn.MaxPool2d(3, 2, 1), cbr(stem, stem, 1), cbr(stem, 3 * stem)]
    channels = 3 * stem
    for stage in stages:
        layers.append(nn.MaxPool2d(3, 2, 1))
        for one, three, five, pooled in stage:
            layers.append(Inception(channels, one, three, five, pooled))
            channels = one + three[1] + five[1] + pooled
    return nn.Sequential(*layers, classifier(channels, classes))


class RegNetBlock(nn.Module):
    """Groups of a fixed width, squeeze and excite from the block's input width (Radosavovic et al. 2020, arXiv:2003.13678)."""

    def __init__(self, i: int, o: int, s: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            cbr(i, o, 1), cbr(o, o, 3, s, groups=o // width), SqueezeExcite(o, max(1, i // 4)), cbr(o, o, 1, act=None)
        )
        self.project = cbr(i, o, 1, s, act=None) if s != 1 or i != o else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.project(x) + self.body(x))


def regnet(widths: Sequence[int], depths: Sequence[int], group: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [cbr(3, 32, 3, 2)]
    channels = 32
    for width, depth in zip(widths, depths, strict=True):
        for step in range(depth):
            layers.append(RegNetBlock(channels, width, 2 if step == 0 else 1, group))
            channels = width
    return nn.Sequential(*layers, classifier(channels, classes))


VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
FIRES = (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256)))
IMAGE: dict[str, object] = {"shape": (3, 32, 32), "full_shape": (3, 64, 64)}
enter("LeNet-5", lenet, lenet, shape=(1, 28, 28))
enter("VGG-16-BN", lambda: vgg((32, 32, 0, 64, 64, 0), 128, 10), lambda: vgg(VGG16, 4096, 1000), **IMAGE)
enter("SqueezeNet", lambda: squeezenet((FIRES[0], ((32, 64),)), 10), lambda: squeezenet(FIRES, 1000), **IMAGE, quick=False)
enter("GoogLeNet", lambda: googlenet((GOOGLENET[0][:1],), 16, 10), lambda: googlenet(GOOGLENET, 64, 1000), **IMAGE, quick=False)
enter(
    "RegNetY-400MF",
    lambda: regnet((48, 104), (1, 2), 8, 10),
    lambda: regnet((48, 104, 208, 440), (1, 3, 6, 6), 8, 1000),
    **IMAGE,
    quick=False,
)
