"""Body signals and time series: recurrent activity recognition, TCN, InceptionTime, EEGNet, an ECG network, a forecaster."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import cbr1, enter


class Activity(nn.Module):
    """Six body signals into recurrent layers; the last step is classified."""

    def __init__(self, kind: type[nn.RNNBase], hidden: int, layers: int) -> None:
        super().__init__()
        self.rnn, self.out = kind(6, hidden, layers, batch_first=True), nn.Linear(hidden, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x.transpose(1, 2))[0][:, -1])


class DeepConvLSTM(nn.Module):
    """Convolutions over time for every sensor, channels times sensors into two LSTMs (Ordonez & Roggen 2016)."""

    def __init__(self, sensors: int, filters: int, layers: int, hidden: int, classes: int) -> None:
        super().__init__()
        convs = [m for n in range(layers) for m in (nn.Conv2d(filters if n else 1, filters, (5, 1)), nn.ReLU())]
        self.convs, self.rnn = nn.Sequential(*convs), nn.LSTM(filters * sensors, hidden, 2, batch_first=True)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs(x.unsqueeze(1)).permute(0, 2, 1, 3)
        y, _ = self.rnn(y.reshape(y.shape[0], y.shape[1], -1))
        return self.out(self.drop(y[:, -1]))


class AttentiveGru(nn.Module):
    """A bidirectional GRU whose steps are weighted by a learned score."""

    def __init__(self, inputs: int, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.conv, self.rnn = cbr1(inputs, width, 5), nn.GRU(width, hidden, batch_first=True, bidirectional=True)
        self.key, self.score, self.out = (
            nn.Linear(2 * hidden, hidden),
            nn.Linear(hidden, 1, bias=False),
            nn.Linear(2 * hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(self.conv(x).transpose(1, 2))
        weight = self.score(torch.tanh(self.key(y))).softmax(1)
        return self.out((weight * y).sum(1))


class Temporal(nn.Module):
    """Two causal dilated convolutions, cut to the length, and a projection where widths change (arXiv:1803.01271)."""

    def __init__(self, i: int, o: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.cut = (kernel - 1) * dilation
        self.a, self.b = (nn.Conv1d(c, o, kernel, padding=self.cut, dilation=dilation) for c in (i, o))
        self.project = nn.Conv1d(i, o, 1) if i != o else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x)[:, :, : -self.cut])
        y = F.relu(self.b(y)[:, :, : -self.cut])
        return F.relu(y + self.project(x))


class TCN(nn.Module):
    def __init__(self, inputs: int, widths: Sequence[int], kernel: int, classes: int) -> None:
        super().__init__()
        ins = (inputs, *widths)
        self.layers = nn.Sequential(*[Temporal(i, o, kernel, 2**n) for n, (i, o) in enumerate(zip(ins, widths, strict=False))])
        self.out = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layers(x)[:, :, -1])


class InceptionTime(nn.Module):
    """Kernels of several lengths side by side, a shortcut over all (Fawaz et al. 2019, arXiv:1909.04939)."""

    def __init__(self, inputs: int, each: int, kernels: Sequence[int], depth: int, classes: int) -> None:
        super().__init__()
        wide = each * (len(kernels) + 1)
        self.blocks = nn.ModuleList([self._block(inputs if n == 0 else wide, each, kernels) for n in range(depth)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(wide) for _ in range(depth)])
        self.shortcut, self.out = cbr1(inputs, wide, 1, act=None), nn.Linear(wide, classes)

    @staticmethod
    def _block(i: int, each: int, kernels: Sequence[int]) -> nn.ModuleDict:
        return nn.ModuleDict({
            "neck": nn.Conv1d(i, each, 1, bias=False),
            "convs": nn.ModuleList([nn.Conv1d(each, each, k, padding=k // 2, bias=False) for k in kernels]),
            "pooled": nn.Conv1d(i, each, 1, bias=False),
        })  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        start = self.shortcut(x)
        for number, (block, norm) in enumerate(zip(self.blocks, self.norms, strict=True)):
            neck = block["neck"](x)
            parts = [conv(neck) for conv in block["convs"]]
            x = norm(torch.cat([*parts, block["pooled"](F.max_pool1d(x, 3, 1, 1))], 1))
            x = F.relu(x + start if number == len(self.blocks) - 1 else x)
        return self.out(x.mean(2))


def eegnet(channels: int, length: int, f1: int, multiplier: int, f2: int, classes: int) -> nn.Module:
    """Temporal, depthwise spatial (multiplier 2), separable convolutions (Lawhern et al. 2016, arXiv:1611.08024)."""
    wide = f1 * multiplier
    return nn.Sequential(
        nn.Conv2d(1, f1, (1, 17), padding=(0, 8), bias=False), nn.BatchNorm2d(f1),
        nn.Conv2d(f1, wide, (channels, 1), groups=f1, bias=False), nn.BatchNorm2d(wide),
        nn.ELU(), nn.AvgPool2d((1, 4)), nn.Dropout(0.5),
        nn.Conv2d(wide, wide, (1, 17), padding=(0, 8), groups=wide, bias=False), nn.Conv2d(wide, f2, 1, bias=False),
        nn.BatchNorm2d(f2), nn.ELU(), nn.AvgPool2d((1, 8)), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(f2 * length // 32, classes),
    )  # fmt: skip


class EcgBlock(nn.Module):
    """Pre-activation, strided, the shortcut pooled and padded with channels at the end (Hannun et al. 2019)."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.n1, self.c1 = nn.BatchNorm1d(i), nn.Conv1d(i, o, 15, stride, 7)
        self.n2, self.c2, self.stride, self.extra = nn.BatchNorm1d(o), nn.Conv1d(o, o, 15, 1, 7), stride, o - i

    def forward(self, x: Tensor) -> Tensor:
        y = self.c2(F.relu(self.n2(self.c1(F.relu(self.n1(x))))))
        x = F.max_pool1d(x, self.stride) if self.stride > 1 else x
        return y + (F.pad(x, (0, 0, 0, self.extra)) if self.extra else x)


def ecg(width: int, blocks: int, every: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [cbr1(1, width, 15)]
    channels = width
    for number in range(blocks):
        out = width * 2 ** (number // every)
        layers.append(EcgBlock(channels, out, 2 if number % 2 else 1))
        channels = out
    return nn.Sequential(
        *layers, nn.BatchNorm1d(channels), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


class Forecaster(nn.Module):
    """An encoder LSTM hands its state to a decoder that reads known covariates; mean and spread come out."""

    def __init__(self, inputs: int, known: int, hidden: int) -> None:
        super().__init__()
        self.encode, self.decode = nn.LSTM(inputs, hidden, batch_first=True), nn.LSTM(known, hidden, batch_first=True)
        self.mean, self.spread = nn.Linear(hidden, 1), nn.Linear(hidden, 1)

    def forward(self, past: Tensor, future: Tensor) -> dict[str, Tensor]:
        _, state = self.encode(past)
        y, _ = self.decode(future, state)
        return {"mean": self.mean(y), "spread": F.softplus(self.spread(y))}


SIGNAL: dict[str, object] = {"convolutional": False}
enter(
    "LSTM activity",
    lambda: Activity(nn.LSTM, 24, 2),
    lambda: Activity(nn.LSTM, 128, 2),
    shape=(6, 32),
    full_shape=(6, 128),
    **SIGNAL,
)
enter(
    "GRU activity",
    lambda: Activity(nn.GRU, 24, 2),
    lambda: Activity(nn.GRU, 128, 2),
    shape=(6, 32),
    full_shape=(6, 128),
    **SIGNAL,
)
enter(
    "DeepConvLSTM",
    lambda: DeepConvLSTM(6, 16, 2, 24, 6),
    lambda: DeepConvLSTM(9, 64, 4, 128, 6),
    shape=(24, 6),
    full_shape=(128, 9),
    **SIGNAL,
)
enter(
    "Attentive BiGRU",
    lambda: AttentiveGru(6, 16, 16, 6),
    lambda: AttentiveGru(6, 64, 128, 6),
    shape=(6, 24),
    full_shape=(6, 128),
    **SIGNAL,
)
enter("TCN", lambda: TCN(6, (16, 16, 24), 3, 6), lambda: TCN(6, (64,) * 6, 7, 6), shape=(6, 32), full_shape=(6, 256))
enter(
    "InceptionTime",
    lambda: InceptionTime(6, 8, (9, 5, 3), 2, 6),
    lambda: InceptionTime(6, 32, (39, 19, 9), 6, 6),
    shape=(6, 32),
    full_shape=(6, 128),
)
enter(
    "EEGNet-8,2",
    lambda: eegnet(8, 64, 8, 2, 16, 4),
    lambda: eegnet(22, 256, 8, 2, 16, 4),
    shape=(1, 8, 64),
    full_shape=(1, 22, 256),
    share=0.5,
)
enter("ECG ResNet", lambda: ecg(16, 3, 2, 4), lambda: ecg(32, 16, 4, 12), shape=(1, 64), full_shape=(1, 2048))
enter(
    "LSTM forecaster",
    lambda: Forecaster(4, 3, 16),
    lambda: Forecaster(16, 8, 96),
    shape=((12, 4), (6, 3)),
    full_shape=((96, 16), (24, 8)),
    **SIGNAL,
)
