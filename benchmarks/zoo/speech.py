"""Keyword spotting and speech: DS-CNN, BC-ResNet, MatchboxNet, Conformer, ECAPA-TDNN, WaveNet, CRNN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import Residual, cbr, cbr1, classifier, enter


def ds_cnn(width: int, blocks: int, classes: int) -> nn.Module:
    """MLPerf Tiny's keyword spotter (Zhang et al. 2017, arXiv:1711.07128)."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, (10, 4), 2, (5, 1)), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.2)]
    for _ in range(blocks):
        layers += [cbr(width, width, groups=width), cbr(width, width, 1)]
    return nn.Sequential(*layers, nn.Dropout(0.4), classifier(width, classes))


class Broadcast(nn.Module):
    """A 2-D part over frequency, a 1-D part over time that is added to every frequency (Kim et al. 2021, arXiv:2106.04140)."""

    def __init__(self, i: int, o: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.change = cbr(i, o, 1) if i != o else None
        self.frequency = nn.Sequential(nn.Conv2d(o, o, (3, 1), (stride, 1), (1, 0), groups=o, bias=False), nn.BatchNorm2d(o))
        depthwise = nn.Conv2d(o, o, (1, 3), 1, (0, dilation), (1, dilation), groups=o, bias=False)
        self.time = nn.Sequential(depthwise, nn.BatchNorm2d(o), nn.SiLU(), nn.Conv2d(o, o, 1, bias=False), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.frequency(x if self.change is None else self.change(x))
        z = self.time(y.mean(2, keepdim=True)) + y
        return F.relu(z if self.change is not None else z + x)


def bc_resnet(width: int, repeats: Sequence[int], classes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(1, 2 * width, 5, (2, 1), 2, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU()]
    channels = 2 * width
    for stage, (out, count) in enumerate(zip((width, int(1.5 * width), 2 * width, int(2.5 * width)), repeats, strict=False)):
        for step in range(count):
            layers.append(Broadcast(channels, out, 2 if step == 0 and stage in (1, 2) else 1, 2**stage))
            channels = out
    last = [
        nn.Conv2d(channels, channels, 5, padding=(0, 2), groups=channels, bias=False),
        nn.Conv2d(channels, 32, 1, bias=False),
    ]
    return nn.Sequential(*layers, *last, nn.BatchNorm2d(32), nn.ReLU(), classifier(32, classes))


def separable(i: int, o: int, k: int) -> list[nn.Module]:
    return [nn.Conv1d(i, i, k, padding=k // 2, groups=i, bias=False), nn.Conv1d(i, o, 1, bias=False), nn.BatchNorm1d(o)]


class Matchbox(nn.Module):
    """Separable convolutions, a projection of the block's input added before the last relu (arXiv:2004.08531)."""

    def __init__(self, i: int, o: int, k: int, repeats: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for step in range(repeats):
            layers += separable(i if step == 0 else o, o, k) + ([nn.ReLU(), nn.Dropout(0.1)] if step < repeats - 1 else [])
        self.body, self.project = nn.Sequential(*layers), cbr1(i, o, 1, act=None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.project(x))


def matchbox(width: int, blocks: int, repeats: int, classes: int) -> nn.Module:
    body = [Matchbox(128 if n == 0 else width, width, 13 + 2 * n, repeats) for n in range(blocks)]
    head = [cbr1(width, 128, 1), nn.Conv1d(128, classes, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
    return nn.Sequential(nn.Conv1d(64, 128, 11, 2, 5, bias=False), nn.BatchNorm1d(128), nn.ReLU(), *body, *head)


class Halved(nn.Module):
    """x + f(norm(x)) / 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * self.body(x)


class ConvolutionModule(nn.Module):
    """Pointwise with a gate, depthwise over time, pointwise."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm, self.grow = nn.LayerNorm(width), nn.Conv1d(width, 2 * width, 1)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.batch, self.out = nn.BatchNorm1d(width), nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.glu(self.grow(self.norm(x).transpose(1, 2)), 1)
        return x + self.out(F.silu(self.batch(self.depthwise(y)))).transpose(1, 2)


class SelfAttention(nn.Module):
    """torch's own multi-head attention with a norm before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.attention(y, y, y, need_weights=False)[0]


class Conformer(nn.Module):
    """Gulati et al. 2020, arXiv:2005.08100, behind two strided convolutions over (time, frequency)."""

    def __init__(self, bins: int, width: int, heads: int, depth: int, kernel: int, classes: int) -> None:
        super().__init__()
        self.subsample = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.ReLU())
        self.project = nn.Linear(width * bins // 4, width)

        def blocks() -> list[nn.Module]:
            return [
                Halved(width),
                SelfAttention(width, heads),
                ConvolutionModule(width, kernel),
                Halved(width),
                nn.LayerNorm(width),
            ]

        self.layers, self.head = nn.Sequential(*[m for _ in range(depth) for m in blocks()]), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.subsample(x.unsqueeze(1))
        b, c, t, f = x.shape
        x = self.project(x.transpose(1, 2).reshape(b, t, c * f))
        return self.head(self.layers(x).mean(1))


class Res2Time(nn.Module):
    """The hierarchical split over time."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.each = channels // scale
        self.layers = nn.ModuleList([cbr1(self.each, self.each) for _ in range(scale - 1)])

    def forward(self, x: Tensor) -> Tensor:
        parts = list(x.split(self.each, 1))
        for number, layer in enumerate(self.layers, 1):
            parts[number] = layer(parts[number] if number == 1 else parts[number] + parts[number - 1])
        return torch.cat(parts, 1)


class Gate1d(nn.Module):
    """Squeeze and excite over time."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.b(F.relu(self.a(x.mean(2))))).unsqueeze(2)


class Ecapa(nn.Module):
    """Speaker embeddings: gated blocks, all joined, statistics weighted by attention (arXiv:2005.07143)."""

    def __init__(self, bins: int, width: int, blocks: int, scale: int, joined: int, embedding: int) -> None:
        super().__init__()
        self.stem = cbr1(bins, width, 5)

        def block() -> nn.Module:
            return Residual(cbr1(width, width, 1), Res2Time(width, scale), cbr1(width, width, 1), Gate1d(width, width // 4))

        self.blocks, self.join = nn.ModuleList([block() for _ in range(blocks)]), cbr1(blocks * width, joined, 1)
        self.attention = nn.Sequential(nn.Conv1d(3 * joined, 16, 1), nn.Tanh(), nn.Conv1d(16, joined, 1))
        self.norm, self.out = nn.BatchNorm1d(2 * joined), nn.Linear(2 * joined, embedding)

    def forward(self, x: Tensor) -> Tensor:
        x, features = self.stem(x), []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        x = self.join(torch.cat(features, 1))
        mean = x.mean(2, keepdim=True)
        spread = ((x - mean) ** 2).mean(2, keepdim=True).clamp(min=1e-4).sqrt()
        weight = self.attention(torch.cat([x, mean.expand_as(x), spread.expand_as(x)], 1)).softmax(2)
        mean = (x * weight).sum(2)
        spread = ((x**2 * weight).sum(2) - mean**2).clamp(min=1e-4).sqrt()
        return F.normalize(self.out(self.norm(torch.cat([mean, spread], 1))), dim=1)


class WaveNet(nn.Module):
    """Causal dilated convolutions with gates, skips summed (van den Oord et al. 2016, arXiv:1609.03499)."""

    def __init__(self, inputs: int, width: int, skip: int, stacks: int, layers: int, classes: int) -> None:
        super().__init__()
        self.stem, self.dilations = nn.Conv1d(inputs, width, 1), [2**n for _ in range(stacks) for n in range(layers)]
        self.filters = nn.ModuleList([nn.Conv1d(width, width, 2, dilation=d) for d in self.dilations])
        self.gates = nn.ModuleList([nn.Conv1d(width, width, 2, dilation=d) for d in self.dilations])
        self.residuals = nn.ModuleList([nn.Conv1d(width, width, 1) for _ in self.dilations[1:]])
        self.skips = nn.ModuleList([nn.Conv1d(width, skip, 1) for _ in self.dilations])
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(skip, skip, 1), nn.ReLU(), nn.Conv1d(skip, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        x, total = self.stem(x), torch.zeros(())
        for number, dilation in enumerate(self.dilations):
            y = F.pad(x, (dilation, 0))
            y = torch.tanh(self.filters[number](y)) * torch.sigmoid(self.gates[number](y))
            total = total + self.skips[number](y)
            if number < len(self.residuals):
                x = x + self.residuals[number](y)
        return self.head(total)


class CRNN(nn.Module):
    """Convolutions, columns as a sequence, two bidirectional LSTMs (Shi et al. 2015, arXiv:1507.05717)."""

    def __init__(self, height: int, widths: Sequence[int], hidden: int, classes: int) -> None:
        super().__init__()
        pools = [(2, 2), *[(2, 1)] * (len(widths) - 1)]
        ins = (1, *widths)
        self.features = nn.Sequential(
            *[m for i, o, p in zip(ins, widths, pools, strict=False) for m in (cbr(i, o), nn.MaxPool2d(p))]
        )
        rows = height // 2 ** len(widths)
        self.rnn = nn.LSTM(rows * widths[-1], hidden, 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x).permute(0, 3, 1, 2).flatten(2)
        return self.out(self.rnn(x)[0]).log_softmax(2)


SIGNAL: dict[str, object] = {"convolutional": False}
enter("DS-CNN", lambda: ds_cnn(64, 2, 12), lambda: ds_cnn(64, 4, 12), shape=(1, 49, 10))
enter(
    "BC-ResNet-1",
    lambda: bc_resnet(8, (1, 2, 1), 12),
    lambda: bc_resnet(16, (2, 2, 4, 4), 12),
    shape=(1, 40, 20),
    full_shape=(1, 40, 101),
    share=0.4,
    quick=False,
)
enter(
    "MatchboxNet",
    lambda: matchbox(32, 2, 2, 12),
    lambda: matchbox(64, 3, 2, 35),
    shape=(64, 32),
    full_shape=(64, 128),
    share=0.47,
)
enter(
    "Conformer KWS",
    lambda: Conformer(16, 32, 4, 1, 7, 12),
    lambda: Conformer(40, 144, 4, 8, 31, 35),
    shape=(24, 16),
    full_shape=(100, 40),
    **SIGNAL,
)
enter(
    "ECAPA-TDNN",
    lambda: Ecapa(20, 32, 2, 4, 48, 16),
    lambda: Ecapa(80, 512, 3, 8, 1536, 192),
    shape=(20, 24),
    full_shape=(80, 100),
    **SIGNAL,
    quick=False,
)
enter(
    "WaveNet", lambda: WaveNet(4, 16, 24, 1, 3, 8), lambda: WaveNet(16, 32, 128, 3, 8, 64), shape=(4, 24), full_shape=(16, 256)
)
enter(
    "CRNN",
    lambda: CRNN(16, (16, 32), 24, 11),
    lambda: CRNN(32, (64, 128, 256, 512), 256, 37),
    shape=(1, 16, 24),
    full_shape=(1, 32, 100),
    **SIGNAL,
    alone=r"^out\.weight",
)
