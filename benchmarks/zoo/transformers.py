"""Vision transformers and what they share: ViT, DeiT with separate projections, Swin, MobileViT, a text encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import Residual, cbr, enter
from benchmarks.zoo.mobilenets import InvertedResidual


class FusedAttention(nn.Module):
    """One projection for queries, keys and values (Vaswani et al. 2017, arXiv:1706.03762)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, c))


def perceptron(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


def layer(width: int, heads: int, ratio: int = 4) -> nn.Sequential:
    """Pre-norm attention and perceptron."""
    attend = Residual(nn.LayerNorm(width), FusedAttention(width, heads))
    return nn.Sequential(attend, Residual(nn.LayerNorm(width), perceptron(width, ratio * width)))


class ViT(nn.Module):
    """Dosovitskiy et al. 2020, arXiv:2010.11929; with ``distilled`` a second token and head (arXiv:2012.12877)."""

    def __init__(self, size: int, patch: int, width: int, heads: int, depth: int, classes: int, distilled: bool) -> None:
        super().__init__()
        self.patches, tokens = nn.Conv2d(3, width, patch, patch), 1 + distilled
        self.tokens = nn.Parameter(torch.randn(1, tokens, width) * 0.1)
        self.position = nn.Parameter(torch.randn(1, tokens + (size // patch) ** 2, width) * 0.1)
        self.layers = nn.Sequential(*[layer(width, heads) for _ in range(depth)])
        self.norm, self.heads = nn.LayerNorm(width), nn.ModuleList([nn.Linear(width, classes) for _ in range(tokens)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.tokens.expand(x.shape[0], -1, -1), x], 1) + self.position
        x = self.norm(self.layers(x))
        out = [head(x[:, i]) for i, head in enumerate(self.heads)]
        return out[0] if len(out) == 1 else (out[0] + out[1]) / 2


class WindowAttention(nn.Module):
    """Attention inside windows with a bias for each relative position."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads) * 0.1)
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = at[:, :, None] - at[:, None, :] + window - 1
        self.register_buffer("index", apart[0] * (2 * window - 1) + apart[1])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * (c // self.heads) ** -0.5) @ k.transpose(-2, -1)
        scores = scores + self.table[self.index.view(-1)].view(t, t, self.heads).permute(2, 0, 1).unsqueeze(0)
        if mask is not None:
            count = mask.shape[0]
            scores = (scores.view(b // count, count, self.heads, t, t) + mask.unsqueeze(1).unsqueeze(0)).view(
                -1, self.heads, t, t
            )
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))


class SwinBlock(nn.Module):
    """Liu et al. 2021, arXiv:2103.14030; every second block shifts its windows."""

    def __init__(self, width: int, heads: int, size: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.size, self.window, self.shift = size, window, window // 2 if shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = WindowAttention(width, heads, window), perceptron(width, 4 * width)
        self.register_buffer("mask", self._mask() if self.shift else None)

    def _mask(self) -> Tensor:
        """Positions that a shift brought together from opposite borders do not see each other."""
        regions = torch.zeros(1, self.size, self.size, 1)
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for number, (rows, columns) in enumerate((r, c) for r in cuts for c in cuts):
            regions[:, rows, columns] = number
        parts = self._parts(regions).squeeze(-1)
        return (parts[:, None, :] != parts[:, :, None]).float() * -100

    def _parts(self, x: Tensor) -> Tensor:
        b, c, n = x.shape[0], x.shape[3], self.size // self.window
        return x.view(b, n, self.window, n, self.window, c).transpose(2, 3).reshape(-1, self.window**2, c)

    def forward(self, x: Tensor) -> Tensor:
        b, c, n = x.shape[0], x.shape[3], self.size // self.window
        y = self.norm1(x)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = self.attention(self._parts(y), self.mask)
        y = y.view(b, n, n, self.window, self.window, c).transpose(2, 3).reshape(b, self.size, self.size, c)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y
        return x + self.mlp(self.norm2(x))


class Merge(nn.Module):
    """Four neighbours become one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduce = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        quarters = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduce(self.norm(torch.cat(quarters, -1)))


class Swin(nn.Module):
    def __init__(
        self, size: int, patch: int, width: int, depths: Sequence[int], heads: Sequence[int], window: int, classes: int
    ) -> None:
        super().__init__()
        self.patches, size = nn.Conv2d(3, width, patch, patch), size // patch
        layers: list[nn.Module] = []
        for number, (depth, head) in enumerate(zip(depths, heads, strict=True)):
            if number:
                layers.append(Merge(width))
                size, width = size // 2, 2 * width
            layers += [
                SwinBlock(width, head, size, min(window, size), step % 2 == 1 and size > window) for step in range(depth)
            ]
        self.layers, self.norm, self.head = nn.Sequential(*layers), nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.patches(x).permute(0, 2, 3, 1))
        return self.head(self.norm(x).mean((1, 2)))


class MobileViTBlock(nn.Module):
    """Convolutions, a transformer over pixels at the same place of every patch, convolutions (arXiv:2110.02178)."""

    def __init__(self, channels: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.local = nn.Sequential(cbr(channels, channels, act=nn.SiLU), nn.Conv2d(channels, width, 1, bias=False))
        self.layers = nn.Sequential(*[layer(width, heads, 2) for _ in range(depth)], nn.LayerNorm(width))
        self.back, self.join = cbr(width, channels, 1, act=nn.SiLU), cbr(2 * channels, channels, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        y = self.local(x)
        b, c, h, w = y.shape
        y = y.reshape(b * c * h // 2, 2, w // 2, 2).transpose(1, 2).reshape(b, c, h * w // 4, 4)
        y = self.layers(y.transpose(1, 3).reshape(b * 4, h * w // 4, c)).view(b, 4, h * w // 4, c).transpose(1, 3)
        y = y.reshape(b * c * h // 2, w // 2, 2, 2).transpose(1, 2).reshape(b, c, h, w)
        return self.join(torch.cat([x, self.back(y)], 1))


def mobilevit(widths: Sequence[int], inner: Sequence[int], depths: Sequence[int], last: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [cbr(3, 16, 3, 2, act=nn.SiLU)]
    channels = 16
    for number, width in enumerate(widths):
        layers.append(InvertedResidual(channels, 4 * channels, width, 3, 2 if number else 1, nn.SiLU))
        channels, at = width, number - (len(widths) - len(inner))
        if at >= 0:
            layers.append(MobileViTBlock(channels, inner[at], 4, depths[at]))
    layers += [cbr(channels, last, 1, act=nn.SiLU), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, classes)]
    return nn.Sequential(*layers)


class TextEncoder(nn.Module):
    """Post-norm layers over embeddings, words predicted by the embedding itself (Devlin et al. 2018, arXiv:1810.04805)."""

    def __init__(self, words: int, positions: int, width: int, heads: int, depth: int, classes: int) -> None:
        super().__init__()
        self.word, self.position = nn.Embedding(words, width), nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width)
        one = nn.TransformerEncoderLayer(width, heads, 4 * width, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(one, depth, enable_nested_tensor=False)
        self.transform, self.bias, self.pool = (
            nn.Linear(width, width),
            nn.Parameter(torch.zeros(words)),
            nn.Linear(width, classes),
        )
        self.register_buffer("places", torch.arange(positions))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        x = self.layers(self.norm(self.word(ids) + self.position(self.places)))
        return F.linear(F.gelu(self.transform(x)), self.word.weight, self.bias), self.pool(torch.tanh(x[:, 0]))


PLAIN: dict[str, object] = {"convolutional": False}
enter(
    "ViT-Tiny",
    lambda: ViT(16, 4, 48, 3, 2, 10, False),
    lambda: ViT(64, 8, 192, 3, 12, 1000, False),
    shape=(3, 16, 16),
    full_shape=(3, 64, 64),
    **PLAIN,
)
enter(
    "DeiT-Tiny",
    lambda: ViT(16, 8, 48, 3, 1, 10, True),
    lambda: ViT(64, 8, 192, 3, 12, 1000, True),
    shape=(3, 16, 16),
    full_shape=(3, 64, 64),
    **PLAIN,
    quick=False,
)
enter(
    "Swin-T",
    lambda: Swin(32, 4, 24, (2, 1), (2, 4), 4, 10),
    lambda: Swin(64, 2, 96, (2, 2, 6, 2), (3, 6, 12, 24), 4, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    **PLAIN,
    quick=False,
)
enter(
    "MobileViT-XS",
    lambda: mobilevit((16, 24), (32,), (1,), 64, 10),
    lambda: mobilevit((32, 48, 64, 80, 96), (96, 120, 144), (2, 4, 3), 384, 1000),
    shape=(3, 16, 16),
    full_shape=(3, 128, 128),
    **PLAIN,
    quick=False,
)
enter(
    "BERT-Tiny",
    lambda: TextEncoder(40, 8, 32, 2, 1, 2),
    lambda: TextEncoder(2000, 32, 128, 2, 2, 2),
    shape=(8,),
    full_shape=(32,),
    tokens=40,
    **PLAIN,
    alone=r"^word\.weight",
)
