"""Residual networks: MLPerf Tiny's, CIFAR's, ImageNet's, grouped, gated, with attention maps, wide, Res2Net."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import SqueezeExcite, cbr, classifier, enter


class Basic(nn.Module):
    """Two 3x3 convolutions; the shortcut is the input, padded with channels ("A") or projected ("B") (He et al. 2015)."""

    def __init__(self, i: int, o: int, s: int, option: str = "B") -> None:
        super().__init__()
        self.a, self.b = cbr(i, o, 3, s), cbr(o, o, act=None)
        self.stride, self.extra = s, o - i
        self.project = cbr(i, o, 1, s, act=None) if option == "B" and (s != 1 or i != o) else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.a(x))
        if self.project is not None:
            x = self.project(x)
        elif self.stride != 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
        return F.relu(x + y)


class ChannelAttention(nn.Module):
    """One perceptron for the mean and the maximum of every channel."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1, bias=False), nn.ReLU(), nn.Conv2d(squeezed, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.shared(x.mean((2, 3), keepdim=True)) + self.shared(x.amax((2, 3), keepdim=True)))


class SpatialAttention(nn.Module):
    """One map from the mean and the maximum over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.map(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


def cbam(channels: int) -> nn.Module:
    """Woo et al. 2018, arXiv:1807.06521."""
    return nn.Sequential(ChannelAttention(channels, max(1, channels // 16)), SpatialAttention())


class Res2(nn.Module):
    """Parts that hand on to the next (Gao et al. 2019, arXiv:1904.01169)."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.parts = nn.ModuleList([cbr(channels // scale, channels // scale) for _ in range(scale - 1)])

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = x.chunk(self.scale, 1)
        out, last = [first], None
        for part, layer in zip(rest, self.parts, strict=True):
            last = layer(part if last is None else part + last)
            out.append(last)
        return torch.cat(out, 1)


class Bottleneck(nn.Module):
    """1x1, 3x3 (or what ``middle`` makes), 1x1, with an attention behind if wanted."""

    def __init__(
        self,
        i: int,
        wide: int,
        o: int,
        s: int,
        groups: int = 1,
        middle: Callable[[int], nn.Module] | None = None,
        attend: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.a = cbr(i, wide, 1)
        self.b = middle(wide) if middle is not None and s == 1 else cbr(wide, wide, 3, s, groups=groups)
        self.c = cbr(wide, o, 1, act=None)
        self.attend = attend(o) if attend is not None else nn.Identity()
        self.project = cbr(i, o, 1, s, act=None) if s != 1 or i != o else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.project(x) + self.attend(self.c(self.b(self.a(x)))))


class PreActivated(nn.Module):
    """Norm and relu before each convolution (Zagoruyko & Komodakis 2016, arXiv:1605.07146)."""

    def __init__(self, i: int, o: int, s: int) -> None:
        super().__init__()
        self.n1, self.c1 = nn.BatchNorm2d(i), nn.Conv2d(i, o, 3, s, 1, bias=False)
        self.n2, self.c2 = nn.BatchNorm2d(o), nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.project = nn.Conv2d(i, o, 1, s, bias=False) if s != 1 or i != o else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.n1(x))
        shortcut = x if self.project is None else self.project(y)
        return shortcut + self.c2(F.relu(self.n2(self.c1(y))))


def cifar(widths: Sequence[int], repeats: int, option: str) -> nn.Module:
    """Three stages of basic blocks; ResNet-20 has three of each, MLPerf Tiny's ResNet-8 one."""
    layers: list[nn.Module] = [cbr(3, widths[0])]
    channels = widths[0]
    for stage, width in enumerate(widths):
        for step in range(repeats):
            layers.append(Basic(channels, width, 2 if stage and not step else 1, option))
            channels = width
    return nn.Sequential(*layers, classifier(channels))


def imagenet(
    block: Callable[[int, int, int, int], nn.Module], widths: Sequence[int], repeats: Sequence[int], expansion: int
) -> nn.Module:
    """Four stages behind a 7x7 stem; ``block(in, width, out, stride)``."""
    layers: list[nn.Module] = [cbr(3, widths[0], 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = widths[0]
    for stage, (width, count) in enumerate(zip(widths, repeats, strict=True)):
        for step in range(count):
            layers.append(block(channels, width, width * expansion, 2 if stage and not step else 1))
            channels = width * expansion
    return nn.Sequential(*layers, classifier(channels, 1000 if len(widths) == 4 else 10))


def wide(widths: Sequence[int], repeats: int) -> nn.Module:
    """A pre-activation network of three stages."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False)]
    channels = 16
    for stage, width in enumerate(widths):
        for step in range(repeats):
            layers.append(PreActivated(channels, width, 2 if stage and not step else 1))
            channels = width
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), classifier(channels))


ALL, SHORT = (64, 128, 256, 512), (32, 64)
IMAGE: dict[str, object] = {"shape": (3, 32, 32), "full_shape": (3, 64, 64)}


def basic(i: int, _: int, o: int, s: int) -> nn.Module:
    return Basic(i, o, s)


def gated(i: int, w: int, o: int, s: int) -> nn.Module:
    return Bottleneck(i, w, o, s, attend=lambda c: SqueezeExcite(c, c // 16))


def grouped(i: int, w: int, o: int, s: int) -> nn.Module:
    return Bottleneck(i, 2 * w, o, s, groups=32)


def attended(i: int, w: int, o: int, s: int) -> nn.Module:
    return Bottleneck(i, w, o, s, attend=cbam)


def hierarchical(i: int, w: int, o: int, s: int) -> nn.Module:
    return Bottleneck(i, w, o, s, middle=lambda c: Res2(c, 4))


enter("ResNet-8", lambda: cifar((16, 32), 1, "B"), lambda: cifar((16, 32, 64), 1, "B"), shape=(3, 32, 32))
enter(
    "ResNet-20",
    lambda: cifar((16, 32, 64), 1, "A"),
    lambda: cifar((16, 32, 64), 3, "A"),
    shape=(3, 16, 16),
    full_shape=(3, 32, 32),
)
enter("ResNet-18", lambda: imagenet(basic, SHORT, (1, 2), 1), lambda: imagenet(basic, ALL, (2, 2, 2, 2), 1), **IMAGE)
enter("ResNet-50", lambda: imagenet(Bottleneck, SHORT, (2, 1), 4), lambda: imagenet(Bottleneck, ALL, (3, 4, 6, 3), 4), **IMAGE)
enter(
    "SE-ResNet-50",
    lambda: imagenet(gated, SHORT, (1, 1), 4),
    lambda: imagenet(gated, ALL, (3, 4, 6, 3), 4),
    **IMAGE,
    quick=False,
)
enter(
    "ResNeXt-50",
    lambda: imagenet(grouped, (64, 128), (2, 1), 4),
    lambda: imagenet(grouped, ALL, (3, 4, 6, 3), 4),
    **IMAGE,
    quick=False,
)
enter(
    "CBAM-ResNet-50",
    lambda: imagenet(attended, SHORT, (1, 1), 4),
    lambda: imagenet(attended, ALL, (3, 4, 6, 3), 4),
    alone=r"\.map\.weight",
    channels=True,
    **IMAGE,
    quick=False,
)
enter(
    "Res2Net-50",
    lambda: imagenet(hierarchical, SHORT, (2, 1), 4),
    lambda: imagenet(hierarchical, ALL, (3, 4, 6, 3), 4),
    **IMAGE,
    quick=False,
)
enter("WideResNet-16-4", lambda: wide((32, 64), 1), lambda: wide((64, 128, 256), 2), shape=(3, 16, 16), full_shape=(3, 32, 32))
