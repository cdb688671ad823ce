"""Convolutions and attention in one network: a plain ViT of four blocks, CCT, EfficientFormer, LeViT, linear attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import Residual, cbr, classifier, enter
from benchmarks.zoo.transformers import layer


class MeanViT(nn.Module):
    """No class token: the mean over all patches is classified."""

    def __init__(self, size: int, patch: int, width: int, heads: int, depth: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.places = nn.Parameter(torch.randn(1, (size // patch) ** 2, width) * 0.2)
        self.layers, self.norm = nn.Sequential(*[layer(width, heads) for _ in range(depth)]), nn.LayerNorm(width)
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.out(self.norm(self.layers(x)).mean(1))


class CCT(nn.Module):
    """A convolutional stem, a transformer, pooling over tokens by attention (Hassani et al. 2021, arXiv:2104.05704)."""

    def __init__(self, size: int, width: int, heads: int, depth: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.places = nn.Parameter(torch.randn(1, (size // 2) ** 2, width) * 0.2)
        self.layers, self.norm = nn.Sequential(*[layer(width, heads, 2) for _ in range(depth)]), nn.LayerNorm(width)
        self.pool, self.out = nn.Linear(width, 1), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.layers(self.stem(x).flatten(2).transpose(1, 2) + self.places))
        return self.out((self.pool(x).softmax(1).transpose(1, 2) @ x).squeeze(1))


class PoolMixer(nn.Module):
    """Average pool minus identity, then 1x1 convolutions, both with layer scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.mlp = nn.Sequential(cbr(width, 4 * width, 1, act=nn.GELU), cbr(4 * width, width, 1, act=None))
        self.first, self.second = (nn.Parameter(torch.full((width, 1, 1), 0.5)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.first * (self.pool(x) - x)
        return x + self.second * self.mlp(x)


class EfficientFormer(nn.Module):
    """Pool mixers on maps, transformer layers on the last tokens (Li et al. 2022, arXiv:2206.01191)."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int], last: int, heads: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [cbr(3, widths[0] // 2, 3, 2), cbr(widths[0] // 2, widths[0], 3, 2)]
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if number:
                layers.append(cbr(widths[number - 1], width, 3, 2, act=None))
            layers += [PoolMixer(width) for _ in range(depth)]
        self.maps, self.tokens = nn.Sequential(*layers), nn.Sequential(*[layer(widths[-1], heads) for _ in range(last)])
        self.norm, self.out = nn.LayerNorm(widths[-1]), nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maps(x).flatten(2).transpose(1, 2)
        return self.out(self.norm(self.tokens(x)).mean(1))


class NormedLinear(nn.Module):
    """A linear layer on tokens with a batch norm over its channels."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(i, o, bias=False), nn.BatchNorm1d(o)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return self.norm(y.flatten(0, 1)).reshape(y.shape)


class LeViTAttention(nn.Module):
    """Narrow keys, wide values, a learned bias for every pair of tokens, hardswish (Graham et al. 2021, arXiv:2104.01136)."""

    def __init__(self, width: int, heads: int, key: int, tokens: int) -> None:
        super().__init__()
        self.heads, self.key = heads, key
        self.qkv, self.out = NormedLinear(width, heads * key * 4), NormedLinear(heads * key * 2, width)
        self.bias = nn.Parameter(torch.randn(heads, tokens, tokens) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, self.heads, -1).split([self.key, self.key, 2 * self.key], 3)
        scores = q.permute(0, 2, 1, 3) @ k.permute(0, 2, 3, 1) * self.key**-0.5 + self.bias
        y = (scores.softmax(-1) @ v.permute(0, 2, 1, 3)).transpose(1, 2).reshape(b, t, -1)
        return self.out(F.hardswish(y))


class LeViT(nn.Module):
    """Strided convolutions, then attention with batch norms instead of layer norms."""

    def __init__(self, size: int, width: int, heads: int, key: int, depth: int, classes: int) -> None:
        super().__init__()
        act = nn.Hardswish
        self.stem = nn.Sequential(cbr(3, width // 4, 3, 2, act=act), cbr(width // 4, width // 2, 3, 2, act=act))
        self.last, tokens = cbr(width // 2, width, 3, 2, act=None), (size // 8) ** 2
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers.append(Residual(LeViTAttention(width, heads, key, tokens)))
            layers.append(Residual(NormedLinear(width, 2 * width), act(), NormedLinear(2 * width, width)))
        self.layers, self.out = nn.Sequential(*layers), nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layers(self.last(self.stem(x)).flatten(2).transpose(1, 2)).mean(1))


class LinearAttention(nn.Module):
    """ReLU features instead of softmax: values are summed once for all queries (EfficientViT, arXiv:2205.14756)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.qkv, self.width = nn.Conv2d(channels, 3 * width, 1, bias=False), width
        self.near = nn.Conv2d(3 * width, 3 * width, 5, padding=2, groups=3 * width, bias=False)
        self.out = cbr(2 * width, channels, 1, act=None)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        y = self.qkv(x)
        y = torch.stack([y, self.near(y)], 1).reshape(b, 2, 3 * self.width, h * w).transpose(2, 3)
        q, k, v = y.chunk(3, 3)
        q, k = F.relu(q), F.relu(k)
        y = q @ (k.transpose(2, 3) @ v) / (q @ k.sum(2, keepdim=True).transpose(2, 3) + 1e-3)
        return x + self.out(y.transpose(2, 3).reshape(b, 2 * self.width, h, w))


def efficientvit(width: int, key: int, depth: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [cbr(3, width // 2, 3, 2, act=nn.Hardswish), cbr(width // 2, width, 3, 2, act=nn.Hardswish)]
    for _ in range(depth):
        local = [cbr(width, 4 * width, 1, act=nn.Hardswish), cbr(4 * width, 4 * width, groups=4 * width, act=nn.Hardswish)]
        layers += [LinearAttention(width, key), Residual(*local, cbr(4 * width, width, 1, act=None))]
    return nn.Sequential(*layers, classifier(width, classes))


enter(
    "ViT, 4 blocks",
    lambda: MeanViT(32, 8, 48, 4, 4, 10),
    lambda: MeanViT(64, 8, 96, 4, 4, 10),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    convolutional=False,
    quick=False,
    ops={"tflite-fp32": 130},
)
enter(
    "CCT-2",
    lambda: CCT(8, 32, 2, 1, 10),
    lambda: CCT(32, 128, 2, 2, 10),
    shape=(3, 8, 8),
    full_shape=(3, 32, 32),
    convolutional=False,
    quick=False,
)
enter(
    "EfficientFormer-L1",
    lambda: EfficientFormer((16, 24), (1, 1), 1, 2, 10),
    lambda: EfficientFormer((48, 96, 224, 448), (3, 2, 6, 3), 1, 8, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    convolutional=False,
    quick=False,
)
enter(
    "LeViT-128S",
    lambda: LeViT(32, 32, 2, 8, 1, 10),
    lambda: LeViT(64, 128, 4, 16, 4, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    convolutional=False,
    quick=False,
)
enter(
    "EfficientViT",
    lambda: efficientvit(16, 8, 1, 10),
    lambda: efficientvit(64, 16, 4, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    convolutional=False,
    quick=False,
)
