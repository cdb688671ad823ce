"""What runs on a wrist: activity from motion, sleep stages, the pulse under motion, heart beats with attention."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.zoo.common import SqueezeExcite, cbr1, enter
from benchmarks.zoo.transformers import layer


class Gate1d(nn.Module):
    """Squeeze and excite over time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = SqueezeExcite(channels, channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x.unsqueeze(2)).squeeze(2)


def activity_cnn(sensors: int, widths: Sequence[int], classes: int) -> nn.Module:
    """Convolutions and pools over time, gated channels, a dense head."""
    layers: list[nn.Module] = []
    channels = sensors
    for width in widths:
        layers += [cbr1(channels, width, 5), Gate1d(width), nn.MaxPool1d(2)]
        channels = width
    head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, classes)]
    return nn.Sequential(*layers, *head)


class SleepStages(nn.Module):
    """A narrow and a wide filter bank side by side, joined, then an LSTM over epochs (after DeepSleepNet, arXiv:1703.04046)."""

    def __init__(self, width: int, hidden: int, epochs: int, classes: int) -> None:
        super().__init__()
        self.narrow = nn.Sequential(cbr1(1, width, 7, 2), nn.MaxPool1d(4), cbr1(width, width, 5))
        self.wide = nn.Sequential(cbr1(1, width, 31, 4), nn.MaxPool1d(2), cbr1(width, width, 3))
        self.rnn, self.out, self.epochs = nn.LSTM(2 * width, hidden, batch_first=True), nn.Linear(hidden, classes), epochs

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.narrow(x), self.wide(x)], 1)
        b, c, t = y.shape
        y = y.reshape(b, c, self.epochs, t // self.epochs).mean(3).transpose(1, 2)
        return self.out(self.rnn(y)[0])


class Pulse(nn.Module):
    """Light and motion over time: dilated convolutions, a transformer over what is left, one rate and its doubt."""

    def __init__(self, channels: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        convs = [cbr1(channels if n == 0 else width, width, 5, 2) for n in range(3)]
        self.convs, self.layers = nn.Sequential(*convs), nn.Sequential(*[layer(width, heads, 2) for _ in range(depth)])
        self.norm, self.rate, self.doubt = nn.LayerNorm(width), nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.norm(self.layers(self.convs(x).transpose(1, 2))).mean(1)
        return self.rate(y), nn.functional.softplus(self.doubt(y))


class HeartBeats(nn.Module):
    """Twelve leads: strided residual convolutions, attention pooling, several diagnoses at once."""

    def __init__(self, leads: int, widths: Sequence[int], labels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [cbr1(leads, widths[0], 15, 2)]
        for i, o in itertools.pairwise(widths):
            layers += [cbr1(i, i, 7, groups=i), cbr1(i, o, 1), nn.MaxPool1d(2), nn.Dropout(0.2)]
        self.body, self.score = nn.Sequential(*layers), nn.Conv1d(widths[-1], 1, 1)
        self.out = nn.Linear(widths[-1], labels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return self.out((y * self.score(y).softmax(2)).sum(2)).sigmoid()


enter(
    "Activity CNN",
    lambda: activity_cnn(6, (16, 32), 6),
    lambda: activity_cnn(9, (64, 128, 256), 12),
    shape=(6, 32),
    full_shape=(9, 128),
    share=0.4,
    quick=False,
)
enter(
    "Sleep stages",
    lambda: SleepStages(16, 16, 4, 5),
    lambda: SleepStages(64, 128, 10, 5),
    shape=(1, 128),
    full_shape=(1, 640),
    convolutional=False,
    quick=False,
)
enter(
    "Pulse rate",
    lambda: Pulse(4, 24, 2, 1),
    lambda: Pulse(4, 64, 4, 4),
    shape=(4, 64),
    full_shape=(4, 256),
    convolutional=False,
    quick=False,
)
enter(
    "Heart beats",
    lambda: HeartBeats(12, (16, 24, 32), 5),
    lambda: HeartBeats(12, (64, 128, 256, 512), 71),
    shape=(12, 64),
    full_shape=(12, 1000),
    share=0.47,
    quick=False,
)
