"""Densely connected networks (Huang et al. 2016, arXiv:1608.06993) and CSP stages of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.zoo.common import cbr, classifier, enter


def norm_conv(i: int, o: int, k: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, o, k, padding=k // 2, bias=False))


class DenseBlock(nn.Module):
    """Every layer reads all before it."""

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(norm_conv(channels + step * growth, 4 * growth, 1), norm_conv(4 * growth, growth, 3))
            for step in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)


def densenet(growth: int, blocks: Sequence[int], classes: int) -> nn.Module:
    channels = 2 * growth
    layers: list[nn.Module] = [cbr(3, channels, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for number, count in enumerate(blocks):
        layers.append(DenseBlock(channels, growth, count))
        channels += growth * count
        if number < len(blocks) - 1:
            layers += [norm_conv(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), classifier(channels, classes))


class CrossStage(nn.Module):
    """Half of the channels pass by the dense block (Wang et al. 2019, arXiv:1911.11929)."""

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.half = channels // 2
        self.dense, inner = DenseBlock(channels - self.half, growth, layers), channels - self.half + growth * layers
        self.inner, self.join = cbr(inner, channels // 2, 1), cbr(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        around, through = x[:, : self.half], x[:, self.half :]
        return self.join(torch.cat([around, self.inner(self.dense(through))], 1))


def csp(channels: int, stages: int, layers: int) -> nn.Module:
    parts: list[nn.Module] = [cbr(3, channels, 3, 2)]
    for _ in range(stages):
        parts += [CrossStage(channels, channels // 2, layers), cbr(channels, 2 * channels, 3, 2)]
        channels *= 2
    return nn.Sequential(*parts, classifier(channels))


enter(
    "DenseNet-121",
    lambda: densenet(16, (2, 2), 10),
    lambda: densenet(32, (6, 12, 24, 16), 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
)
enter("CSPDenseNet", lambda: csp(16, 2, 2), lambda: csp(32, 4, 4), shape=(3, 32, 32), full_shape=(3, 64, 64), quick=False)
