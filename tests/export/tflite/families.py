"""Small networks of the families that people bring: each has what makes its family hard to write."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SignalTransformer(nn.Module):
    """A strided convolution over a body signal, then transformer layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(6, 32, 7, 2, 3), nn.BatchNorm1d(32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.layers, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(F.relu(self.norm(self.conv(x))).transpose(1, 2)).mean(1))


class Gated(nn.Module):
    """An inverted residual with squeeze and excitation, as in MobileNetV3 and EfficientNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.grow = nn.Sequential(nn.Conv2d(16, 64, 1, bias=False), nn.BatchNorm2d(64), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(64, 64, 5, 1, 2, groups=64, bias=False), nn.BatchNorm2d(64), nn.SiLU())
        self.gate = nn.Sequential(nn.Conv2d(64, 16, 1), nn.ReLU(), nn.Conv2d(16, 64, 1), nn.Hardsigmoid())
        self.shrink, self.head = nn.Sequential(nn.Conv2d(64, 16, 1, bias=False), nn.BatchNorm2d(16)), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(self.grow(x))
        x = x + self.shrink(y * self.gate(F.adaptive_avg_pool2d(y, 1)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def _conv(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, 1, 1), nn.BatchNorm2d(outside), nn.ReLU())


class Segmenter(nn.Module):
    """An hourglass with shortcuts: pools, a transposed convolution, a bilinear resize, concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([_conv(3, 8), _conv(8, 16), _conv(16, 32)])
        self.up, self.resize = nn.ConvTranspose2d(32, 16, 2, 2), nn.Upsample(scale_factor=2, mode="bilinear")
        self.first, self.second, self.out = _conv(32, 16), _conv(24, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down[0](x)
        b = self.down[1](F.max_pool2d(a, 2))
        y = self.first(torch.cat([self.up(self.down[2](F.max_pool2d(b, 2))), b], 1))
        return self.out(self.second(torch.cat([self.resize(y), a], 1)))


class Shuffled(nn.Module):
    """Two units of ShuffleNetV2: channels are split, joined and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3, 2, 1), nn.Linear(16, 4)
        self.branch = nn.Sequential(
            nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Conv2d(8, 8, 1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(2):
            kept, changed = x.chunk(2, 1)
            x = torch.cat([kept, self.branch(changed)], 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(x.mean((2, 3)))


class Windowed(nn.Module):
    """Attention in shifted windows, channels-last in the source, as in Swin transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)
        self.qkv, self.project, self.head = nn.Linear(16, 48), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)
        batch, height, width, channels = x.shape
        size = 4
        y = torch.roll(self.norm(x), (-2, -2), (1, 2))
        y = y.view(batch, height // size, size, width // size, size, channels).permute(0, 1, 3, 2, 4, 5)
        y = y.reshape(-1, size * size, channels)
        q, k, v = self.qkv(y).reshape(-1, size * size, 3, 2, channels // 2).permute(2, 0, 3, 1, 4).unbind(0)
        y = self.project(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, size * size, channels))
        y = y.view(batch, height // size, width // size, size, size, channels).permute(0, 1, 3, 2, 4, 5)
        x = x + torch.roll(y.reshape(batch, height, width, channels), (2, 2), (1, 2))
        return self.head(x.mean((1, 2)))


class Reader(nn.Module):
    """Convolutions, then a bidirectional GRU over columns, as text and speech recognisers have them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d((2, 1))
        )
        self.sequence, self.head = nn.GRU(128, 32, batch_first=True, bidirectional=True), nn.Linear(64, 11)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.sequence(self.conv(x).permute(0, 3, 1, 2).flatten(2))
        return F.log_softmax(self.head(y), -1)


class BodySignal(nn.Module):
    """Two LSTM layers over a window of six channels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = nn.LSTM(6, 48, 2, batch_first=True, dropout=0.2), nn.Linear(48, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x.transpose(1, 2))[0][:, -1])


class DenselyConnected(nn.Module):
    """Every layer reads all before it, through a batch norm that cannot be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 1, 1), nn.Linear(56, 4)
        rows = [(nn.BatchNorm2d(8 + 4 * i), nn.ReLU(), nn.Conv2d(8 + 4 * i, 4, 3, 1, 1)) for i in range(12)]
        self.layers = nn.ModuleList([nn.Sequential(*row) for row in rows])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(x.mean((2, 3)))


class Tokens(nn.Module):
    """An embedding, positions and a transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.positions = nn.Embedding(100, 16), nn.Parameter(torch.randn(12, 16))
        self.layer, self.head = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.layer(self.table(ids) + self.positions)[:, 0])


#: Name -> the network, its input's shape without batch, and how many transposes it may have (attention needs them).
FAMILIES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "signal transformer": (SignalTransformer, (6, 128), 8),
    "gated": (Gated, (3, 32, 32), 0),
    "segmenter": (Segmenter, (3, 32, 32), 0),
    "shuffled": (Shuffled, (3, 32, 32), 2),
    "windowed": (Windowed, (3, 32, 32), 4),
    "reader": (Reader, (1, 16, 40), 1),
    "body signal": (BodySignal, (6, 128), 1),
    "densely connected": (DenselyConnected, (3, 16, 16), 0),
    "tokens": (Tokens, (12,), 4),
}
