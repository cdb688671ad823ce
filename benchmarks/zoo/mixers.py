"""Channels and positions mixed without attention: ConvNeXt, MLP-Mixer, gMLP, ResMLP, PoolFormer, ConvMixer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import Residual, classifier, enter
from benchmarks.zoo.transformers import perceptron


class ChannelsLastNorm(nn.Module):
    """Layer norm over the channels of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022, arXiv:2201.03545."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width, eps=1e-6)
        self.mlp, self.scale = perceptron(width, 4 * width), nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.scale * self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)


def convnext(patch: int, widths: Sequence[int], depths: Sequence[int], classes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], patch, patch), ChannelsLastNorm(widths[0])]
    for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if number:
            layers += [ChannelsLastNorm(widths[number - 1]), nn.Conv2d(widths[number - 1], width, 2, 2)]
        layers += [ConvNeXtBlock(width) for _ in range(depth)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(widths[-1], eps=1e-6), nn.Linear(widths[-1], classes)]
    return nn.Sequential(*layers, *head)


class Transposed(nn.Module):
    """A function of positions instead of channels."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.transpose(1, 2)).transpose(1, 2)


class Patches(nn.Module):
    """Patches as a sequence."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x).flatten(2).transpose(1, 2)


class MeanHead(nn.Module):
    """The mean over positions, then a linear layer."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(x).mean(1))


def mixer(tokens: int, patch: int, width: int, between: int, wide: int, depth: int, classes: int) -> nn.Module:
    """Tolstikhin et al. 2021, arXiv:2105.01601."""
    layers: list[nn.Module] = [Patches(width, patch)]
    for _ in range(depth):
        layers.append(Residual(nn.LayerNorm(width), Transposed(perceptron(tokens, between))))
        layers.append(Residual(nn.LayerNorm(width), perceptron(width, wide)))
    return nn.Sequential(*layers, MeanHead(width, classes))


class SpatialGate(nn.Module):
    """Half of the channels, mixed over positions, gates the other (Liu et al. 2021, arXiv:2105.08050)."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(width // 2), nn.Conv1d(tokens, tokens, 1)

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2, -1)
        return u * self.mix(self.norm(v))


def gmlp(tokens: int, patch: int, width: int, wide: int, depth: int, classes: int) -> nn.Module:
    def block() -> list[nn.Module]:
        return [
            nn.LayerNorm(width),
            nn.Linear(width, wide),
            nn.GELU(),
            SpatialGate(wide, tokens),
            nn.Linear(wide // 2, width),
        ]

    return nn.Sequential(Patches(width, patch), *[Residual(*block()) for _ in range(depth)], MeanHead(width, classes))


class Affine(nn.Module):
    """A scale and an offset per channel in place of a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, self.scale, x)


def resmlp(tokens: int, patch: int, width: int, depth: int, classes: int) -> nn.Module:
    """Touvron et al. 2021, arXiv:2105.03404."""
    layers: list[nn.Module] = [Patches(width, patch)]
    for _ in range(depth):
        layers.append(Residual(Affine(width), Transposed(nn.Linear(tokens, tokens)), Affine(width)))
        layers.append(Residual(Affine(width), perceptron(width, 4 * width), Affine(width)))
    return nn.Sequential(*layers, MeanHead(width, classes))


class Pooling(nn.Module):
    """The mean of the neighbourhood minus the pixel itself."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) - x


class Scaled(nn.Module):
    """x + scale * f(norm(x))."""

    def __init__(self, width: int, *layers: nn.Module) -> None:
        super().__init__()
        self.body, self.scale = nn.Sequential(nn.GroupNorm(1, width), *layers), nn.Parameter(torch.full((width, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.body(x)


def poolformer(widths: Sequence[int], depths: Sequence[int], classes: int) -> nn.Module:
    """Yu et al. 2021, arXiv:2111.11418."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 7, 4, 2)]
    for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if number:
            layers.append(nn.Conv2d(widths[number - 1], width, 3, 2, 1))
        for _ in range(depth):
            layers += [
                Scaled(width, Pooling()),
                Scaled(width, nn.Conv2d(width, 4 * width, 1), nn.GELU(), nn.Conv2d(4 * width, width, 1)),
            ]
    return nn.Sequential(*layers, nn.GroupNorm(1, widths[-1]), classifier(widths[-1], classes))


def convmixer(width: int, depth: int, kernel: int, patch: int, classes: int) -> nn.Module:
    """Trockman & Kolter 2022, arXiv:2201.09792."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, patch, patch), nn.GELU(), nn.BatchNorm2d(width)]
    for _ in range(depth):
        depthwise = nn.Conv2d(width, width, kernel, padding="same", groups=width)
        layers += [
            Residual(depthwise, nn.GELU(), nn.BatchNorm2d(width)),
            nn.Conv2d(width, width, 1),
            nn.GELU(),
            nn.BatchNorm2d(width),
        ]
    return nn.Sequential(*layers, classifier(width, classes))


PLAIN: dict[str, object] = {"convolutional": False}
enter(
    "ConvNeXt-Atto",
    lambda: convnext(4, (16, 32), (1, 1), 10),
    lambda: convnext(4, (40, 80, 160, 320), (2, 2, 6, 2), 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    **PLAIN,
)
enter(
    "MLP-Mixer-S",
    lambda: mixer(16, 4, 32, 16, 64, 2, 10),
    lambda: mixer(64, 8, 256, 128, 1024, 8, 1000),
    shape=(3, 16, 16),
    full_shape=(3, 64, 64),
    **PLAIN,
    alone=r"\.inner\.2\.weight",
)
enter(
    "gMLP-Ti",
    lambda: gmlp(16, 4, 32, 96, 2, 10),
    lambda: gmlp(64, 8, 128, 768, 12, 1000),
    shape=(3, 16, 16),
    full_shape=(3, 64, 64),
    **PLAIN,
    alone=r"\.mix\.weight",
)
enter(
    "ResMLP-S12",
    lambda: resmlp(16, 4, 32, 1, 10),
    lambda: resmlp(64, 8, 384, 12, 1000),
    shape=(3, 16, 16),
    full_shape=(3, 64, 64),
    **PLAIN,
    alone=r"\.inner\.weight",
)
enter(
    "PoolFormer-S12",
    lambda: poolformer((16, 32), (1, 1), 10),
    lambda: poolformer((64, 128, 320, 512), (2, 2, 6, 2), 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    **PLAIN,
    quick=False,
)
enter(
    "ConvMixer-256/8",
    lambda: convmixer(32, 2, 5, 4, 10),
    lambda: convmixer(256, 8, 9, 8, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    share=0.41,
)
