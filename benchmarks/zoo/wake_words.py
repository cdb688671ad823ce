"""Wake words and keyword spotting on watches: MixedNet, TC-ResNet, a keyword transformer, a causal separable network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import Residual, cbr, cbr1, enter
from benchmarks.zoo.transformers import layer


class MixedDepthwise(nn.Module):
    """Kernels of several lengths, each over its share of the channels, aligned at the newest frame (arXiv:1907.09595)."""

    def __init__(self, channels: int, kernels: Sequence[int]) -> None:
        super().__init__()
        share = channels // len(kernels)
        self.shares = [share] * (len(kernels) - 1) + [channels - share * (len(kernels) - 1)]
        self.convs = nn.ModuleList([nn.Conv1d(c, c, k, groups=c) for c, k in zip(self.shares, kernels, strict=True)])
        self.longest = max(kernels)

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[2] - self.longest + 1
        parts = [conv(part)[:, :, -length:] for conv, part in zip(self.convs, x.split(self.shares, 1), strict=True)]
        return torch.cat(parts, 1)


class MixedNet(nn.Module):
    """Strided convolution, mixed depthwise blocks without padding, one score: what wake words on microcontrollers use."""

    def __init__(self, bins: int, widths: Sequence[int], kernels: Sequence[Sequence[int]], frames: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(bins, widths[0], 5, 3, bias=False)
        layers: list[nn.Module] = []
        for i, o, sizes in zip(widths, widths[1:], kernels, strict=False):
            layers += [MixedDepthwise(i, sizes), cbr1(i, o, 1)]
            frames -= max(sizes) - 1
        self.body, self.out = nn.Sequential(*layers), nn.Linear(widths[-1] * frames, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(F.relu(self.first(x))).flatten(1)).sigmoid()


class TemporalBlock(nn.Module):
    """Two convolutions of 9 frames beside a projected shortcut."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.body = nn.Sequential(cbr1(i, o, 9, 2), cbr1(o, o, 9, act=None))
        self.shortcut = cbr1(i, o, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def tc_resnet(bins: int, widths: Sequence[int], classes: int) -> nn.Module:
    """Frequencies are channels of convolutions over time (Choi et al. 2019, arXiv:1904.03814)."""
    blocks = [TemporalBlock(i, o) for i, o in itertools.pairwise(widths)]
    head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(widths[-1], classes)]
    return nn.Sequential(nn.Conv1d(bins, widths[0], 3, padding=1, bias=False), *blocks, *head)


class KeywordTransformer(nn.Module):
    """One token a frame, a class token, post-norm left out (Berg et al. 2021, arXiv:2104.00769)."""

    def __init__(self, bins: int, frames: int, width: int, heads: int, depth: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(bins, width)
        self.token, self.places = nn.Parameter(torch.zeros(1, 1, width)), nn.Parameter(torch.zeros(1, frames + 1, width))
        self.layers, self.norm = nn.Sequential(*[layer(width, heads) for _ in range(depth)]), nn.LayerNorm(width)
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.transpose(1, 2))
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.out(self.norm(self.layers(x))[:, 0])


def svdf_like(bins: int, width: int, repeats: int, classes: int) -> nn.Module:
    """Causal separable convolutions over time with shortcuts, the newest frame decides; 2-D with a height of one."""
    layers: list[nn.Module] = [cbr(bins, width, 1)]
    for number in range(repeats):
        dilation = 2**number
        depthwise = nn.Conv2d(width, width, (1, 5), dilation=(1, dilation), groups=width, bias=False)
        body = [
            nn.ZeroPad2d((4 * dilation, 0, 0, 0)),
            depthwise,
            nn.BatchNorm2d(width),
            nn.ReLU(),
            cbr(width, width, 1, act=None),
        ]
        layers += [Residual(*body), nn.ReLU()]
    return nn.Sequential(*layers, Newest(), nn.Linear(width, classes))


class Newest(nn.Module):
    """Channels of the last frame."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 0, -1]


enter(
    "MixedNet wake word",
    lambda: MixedNet(16, (16, 24, 24), ((5,), (5, 9)), 16),
    lambda: MixedNet(40, (32, 64, 64, 64, 64), ((5,), (7, 11), (9, 15), (23,)), 63),
    shape=(16, 52),
    full_shape=(40, 193),
    share=0.5,
    quick=False,
)
enter(
    "TC-ResNet",
    lambda: tc_resnet(20, (16, 24, 32), 6),
    lambda: tc_resnet(40, (24, 36, 36, 48, 48, 72, 72), 12),
    shape=(20, 32),
    full_shape=(40, 98),
    quick=False,
)
enter(
    "Keyword transformer",
    lambda: KeywordTransformer(20, 16, 32, 2, 1, 6),
    lambda: KeywordTransformer(40, 98, 64, 1, 12, 35),
    shape=(20, 16),
    full_shape=(40, 98),
    convolutional=False,
    quick=False,
)
enter(
    "Causal separable KWS",
    lambda: svdf_like(20, 24, 2, 6),
    lambda: svdf_like(40, 96, 4, 12),
    shape=(20, 1, 24),
    full_shape=(40, 1, 98),
    quick=False,
)
