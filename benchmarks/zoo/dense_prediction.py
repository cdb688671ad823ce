"""A value for every pixel: U-Net, stacked hourglass, pose heatmaps, DeepLab, HRNet, super-resolution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import Residual, cbr, cbr1, enter
from benchmarks.zoo.resnets import Basic, Bottleneck


class UNet(nn.Module):
    """Ronneberger et al. 2015, arXiv:1505.04597, in one or two dimensions."""

    def __init__(self, inputs: int, widths: Sequence[int], classes: int, flat: bool) -> None:
        super().__init__()

        def pair(i: int, o: int) -> nn.Module:
            return nn.Sequential((cbr1 if flat else cbr)(i, o), (cbr1 if flat else cbr)(o, o))

        up: Any = nn.ConvTranspose1d if flat else nn.ConvTranspose2d
        ins = [inputs, *widths[:-1]]
        self.down = nn.ModuleList([pair(i, o) for i, o in zip(ins, widths, strict=True)])
        self.ups = nn.ModuleList([up(b, a, 2, 2) for a, b in itertools.pairwise(widths)])
        self.back = nn.ModuleList([pair(2 * a, a) for a in widths[:-1]])
        self.out = (nn.Conv1d if flat else nn.Conv2d)(widths[0], classes, 1)
        self.pool: Any = F.max_pool1d if flat else F.max_pool2d

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for number, layer in enumerate(self.down):
            x = layer(self.pool(x, 2) if number else x)
            kept.append(x)
        for up, back, across in zip(reversed(self.ups), reversed(self.back), reversed(kept[:-1]), strict=True):
            x = back(torch.cat([across, up(x)], 1))
        return self.out(x)


class Hourglass(nn.Module):
    """One residual network inside another at half the size (Newell et al. 2016, arXiv:1603.06937)."""

    def __init__(self, depth: int, channels: int) -> None:
        super().__init__()
        block = lambda: Bottleneck(channels, channels // 2, channels, 1)  # noqa: E731
        self.around, self.before, self.after = block(), block(), block()
        self.inside = Hourglass(depth - 1, channels) if depth > 1 else block()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.after(self.inside(self.before(F.max_pool2d(x, 2))))
        return self.around(x) + F.interpolate(inner, scale_factor=2, mode="nearest")


class StackedHourglass(nn.Module):
    """Heatmaps of every stack; each but the last goes back into the features."""

    def __init__(self, stacks: int, depth: int, channels: int, joints: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(cbr(3, channels // 4, 7, 2), Bottleneck(channels // 4, channels // 4, channels, 1))
        self.glasses = nn.ModuleList([Hourglass(depth, channels) for _ in range(stacks)])
        self.features = nn.ModuleList([cbr(channels, channels, 1) for _ in range(stacks)])
        self.maps = nn.ModuleList([nn.Conv2d(channels, joints, 1) for _ in range(stacks)])
        self.back = nn.ModuleList([nn.Conv2d(channels, channels, 1) for _ in range(stacks - 1)])
        self.again = nn.ModuleList([nn.Conv2d(joints, channels, 1) for _ in range(stacks - 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x, out = self.stem(x), []
        for number, (glass, feature, heat) in enumerate(zip(self.glasses, self.features, self.maps, strict=True)):
            y = feature(glass(x))
            out.append(heat(y))
            if number < len(self.back):
                x = x + self.back[number](y) + self.again[number](out[-1])
        return tuple(out)


def pose(widths: Sequence[int], repeats: int, deconvolutions: Sequence[int], joints: int) -> nn.Module:
    """A residual network, transposed convolutions, heatmaps (Xiao et al. 2018, arXiv:1804.06208)."""
    layers: list[nn.Module] = [cbr(3, widths[0], 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = widths[0]
    for stage, width in enumerate(widths):
        for step in range(repeats):
            layers.append(Basic(channels, width, 2 if stage and not step else 1))
            channels = width
    for width in deconvolutions:
        layers += [nn.ConvTranspose2d(channels, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(channels, joints, 1))


class DeepLab(nn.Module):
    """Dilated convolutions side by side with a global mean, low-level features beside (Chen et al. 2018, arXiv:1802.02611)."""

    def __init__(self, widths: Sequence[int], inner: int, rates: Sequence[int], classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(cbr(3, widths[0], 3, 2), Basic(widths[0], widths[0], 1))
        self.deep = nn.Sequential(*[Basic(i, o, 2) for i, o in itertools.pairwise(widths)])
        self.one = cbr(widths[-1], inner, 1)
        self.dilated = nn.ModuleList([cbr(widths[-1], inner, 3, d=rate) for rate in rates])
        self.mean = cbr(widths[-1], inner, 1)
        self.project, self.low = cbr((2 + len(rates)) * inner, inner, 1), cbr(widths[0], inner // 4, 1)
        self.head = nn.Sequential(cbr(inner + inner // 4, inner), nn.Conv2d(inner, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        low = self.stem(x)
        y = self.deep(low)
        mean = self.mean(y.mean((2, 3), keepdim=True)).expand(-1, -1, y.shape[2], y.shape[3])
        y = self.project(torch.cat([self.one(y), *[layer(y) for layer in self.dilated], mean], 1))
        y = F.interpolate(y, size=low.shape[2:], mode="bilinear", align_corners=False)
        return F.interpolate(self.head(torch.cat([y, self.low(low)], 1)), scale_factor=2, mode="bilinear", align_corners=False)


class Fuse(nn.Module):
    """Every resolution reads all others."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.ModuleList(self._path(widths, source, to) for source in range(len(widths))) for to in range(len(widths))
        )

    @staticmethod
    def _path(widths: Sequence[int], source: int, to: int) -> nn.Module:
        if source == to:
            return nn.Identity()
        if source > to:
            return nn.Sequential(cbr(widths[source], widths[to], 1, act=None), nn.Upsample(scale_factor=2 ** (source - to)))
        steps = [cbr(widths[source], widths[source], 3, 2) for _ in range(to - source - 1)]
        return nn.Sequential(*steps, cbr(widths[source], widths[to], 3, 2, act=None))

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        return [F.relu(torch.stack([path(x) for path, x in zip(paths, xs, strict=True)]).sum(0)) for paths in self.paths]


class HRNet(nn.Module):
    """Several resolutions side by side all the way (Wang et al. 2019, arXiv:1908.07919)."""

    def __init__(self, widths: Sequence[int], blocks: int, joints: int) -> None:
        super().__init__()
        self.stem = cbr(3, widths[0], 3, 2)
        self.starts = nn.ModuleList([cbr(a, b, 3, 2) for a, b in itertools.pairwise(widths)])
        self.stages = nn.ModuleList()
        self.fuses = nn.ModuleList()
        for count in range(2, len(widths) + 1):
            columns = [nn.Sequential(*[Basic(w, w, 1) for _ in range(blocks)]) for w in widths[:count]]
            self.stages.append(nn.ModuleList(columns))
            self.fuses.append(Fuse(widths[:count]))
        self.out = nn.Conv2d(widths[0], joints, 1)

    def forward(self, x: Tensor) -> Tensor:
        xs = [self.stem(x)]
        for start, columns, fuse in zip(self.starts, self.stages, self.fuses, strict=True):
            xs.append(start(xs[-1]))
            xs = fuse([column(y) for column, y in zip(columns, xs, strict=True)])
        return self.out(xs[0])


def espcn(hidden: Sequence[int], factor: int) -> nn.Module:
    """Sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158)."""
    a, b = hidden
    last = nn.Conv2d(b, factor**2, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(1, a, 5, padding=2), nn.Tanh(), nn.Conv2d(a, b, 3, padding=1), nn.Tanh(), last, nn.PixelShuffle(factor)
    )


def edsr(width: int, blocks: int) -> nn.Module:
    """Residual blocks without norms, then a shuffle between convolutions (Lim et al. 2017, arXiv:1707.02921)."""
    conv = lambda i, o: nn.Conv2d(i, o, 3, padding=1)  # noqa: E731
    body = [Residual(conv(width, width), nn.ReLU(), conv(width, width)) for _ in range(blocks)]
    tail = [conv(width, 4 * width), nn.PixelShuffle(2), conv(width, 3)]
    return nn.Sequential(conv(3, width), Residual(*body, conv(width, width)), *tail)


def fsrcnn(d: int, s: int, m: int) -> nn.Module:
    """Shrink, map, expand, one transposed convolution (Dong et al. 2016, arXiv:1608.00367)."""
    mapping: list[nn.Module] = []
    for _ in range(m):
        mapping += [nn.Conv2d(s, s, 3, padding=1), nn.PReLU(s)]
    ends = [nn.Conv2d(s, d, 1), nn.PReLU(d), nn.ConvTranspose2d(d, 1, 9, 2, 4, 1)]
    return nn.Sequential(nn.Conv2d(1, d, 5, padding=2), nn.PReLU(d), nn.Conv2d(d, s, 1), nn.PReLU(s), *mapping, *ends)


enter(
    "U-Net",
    lambda: UNet(1, (16, 32, 64), 2, False),
    lambda: UNet(1, (64, 128, 256, 512, 1024), 2, False),
    shape=(1, 16, 16),
    full_shape=(1, 64, 64),
)
enter(
    "U-Net 1-D",
    lambda: UNet(2, (8, 16, 32), 4, True),
    lambda: UNet(2, (32, 64, 128, 256), 4, True),
    shape=(2, 64),
    full_shape=(2, 512),
    quick=False,
)
enter(
    "Stacked hourglass",
    lambda: StackedHourglass(2, 1, 32, 6),
    lambda: StackedHourglass(2, 4, 256, 16),
    shape=(3, 16, 16),
    full_shape=(3, 64, 64),
    quick=False,
)
enter(
    "Pose heatmaps",
    lambda: pose((16, 32), 1, (32,), 8),
    lambda: pose((64, 128, 256, 512), 2, (256,) * 3, 17),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    share=0.37,
    quick=False,
)
enter(
    "DeepLabV3+",
    lambda: DeepLab((16, 32), 32, (2, 4), 4),
    lambda: DeepLab((64, 128, 256), 256, (6, 12, 18), 21),
    shape=(3, 16, 16),
    full_shape=(3, 64, 64),
    quick=False,
)
enter(
    "HRNet",
    lambda: HRNet((16, 32), 1, 6),
    lambda: HRNet((32, 64, 128, 256), 4, 17),
    shape=(3, 16, 16),
    full_shape=(3, 64, 64),
    quick=False,
)
enter("ESPCN", lambda: espcn((64, 32), 2), lambda: espcn((64, 32), 3), shape=(1, 8, 8), full_shape=(1, 32, 32))
enter("EDSR", lambda: edsr(16, 2), lambda: edsr(64, 16), shape=(3, 8, 8), full_shape=(3, 24, 24))
enter("FSRCNN", lambda: fsrcnn(16, 8, 2), lambda: fsrcnn(56, 12, 4), shape=(1, 8, 8), full_shape=(1, 32, 32), share=0.4)
