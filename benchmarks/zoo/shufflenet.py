"""Channel shuffles: ShuffleNet V1 (arXiv:1707.01083) and V2 (arXiv:1807.11164)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import cbr, classifier, enter


def shuffled(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class UnitV1(nn.Module):
    """Grouped 1x1, shuffle, depthwise, grouped 1x1; with stride 2 the mean of the input is joined instead of added."""

    def __init__(self, i: int, o: int, s: int, groups: int, first: bool) -> None:
        super().__init__()
        made, wide = (o - i if s == 2 else o), o // 4
        self.a = cbr(i, wide, 1, groups=1 if first else groups)
        self.b, self.c = cbr(wide, wide, 3, s, groups=wide, act=None), cbr(wide, made, 1, groups=groups, act=None)
        self.stride, self.groups = s, groups

    def forward(self, x: Tensor) -> Tensor:
        y = self.c(self.b(shuffled(self.a(x), self.groups)))
        return F.relu(torch.cat([F.avg_pool2d(x, 3, 2, 1), y], 1) if self.stride == 2 else x + y)


def shufflenet_v1(widths: Sequence[int], repeats: Sequence[int], groups: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [cbr(3, 24, 3, 2)]
    channels = 24
    for number, (width, count) in enumerate(zip(widths, repeats, strict=True)):
        for step in range(count):
            layers.append(UnitV1(channels, width, 2 if step == 0 else 1, groups, number == step == 0))
            channels = width
    return nn.Sequential(*layers, classifier(channels, classes))


class UnitV2(nn.Module):
    """Half of the channels pass by; the two halves are shuffled."""

    def __init__(self, i: int, o: int, s: int) -> None:
        super().__init__()
        half, read = o // 2, (i if s == 2 else o // 2)
        self.stride = s
        self.near = nn.Sequential(cbr(i, i, 3, 2, groups=i, act=None), cbr(i, half, 1)) if s == 2 else None
        self.far = nn.Sequential(cbr(read, half, 1), cbr(half, half, 3, s, groups=half, act=None), cbr(half, half, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.near is not None:
            return shuffled(torch.cat([self.near(x), self.far(x)], 1), 2)
        passed, worked = x.chunk(2, 1)
        return shuffled(torch.cat([passed, self.far(worked)], 1), 2)


def shufflenet_v2(widths: Sequence[int], repeats: Sequence[int], last: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [cbr(3, 24, 3, 2)]
    channels = 24
    for width, count in zip(widths, repeats, strict=True):
        for step in range(count):
            layers.append(UnitV2(channels, width, 2 if step == 0 else 1))
            channels = width
    return nn.Sequential(*layers, cbr(channels, last, 1), classifier(last, classes))


enter(
    "ShuffleNetV1-g3",
    lambda: shufflenet_v1((120, 240), (2, 2), 3, 10),
    lambda: shufflenet_v1((240, 480, 960), (4, 8, 4), 3, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    share=0.39,
    transposes=3,
    quick=False,
)
enter(
    "ShuffleNetV2-1.0",
    lambda: shufflenet_v2((48, 96), (3, 2), 128, 10),
    lambda: shufflenet_v2((116, 232, 464), (4, 8, 4), 1024, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    transposes=3,
    alone=r"^1[123]\.(far\.2|near\.0)\.0\.weight",  # eight shuffles in a row tie all that passes by them
)
