"""Small networks trained on scikit-learn's bundled digits in a second or two; each is trained once a process."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

Array = np.ndarray


@cache
def digits() -> tuple[Array, Array, Array, Array]:
    """x_train (1347, 1, 8, 8) float32 from 0 to 1, y_train, x_test (450, ...), y_test; shuffled once with a fixed seed."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x, y = (data.images[order, None] / 16).astype(np.float32), data.target[order].astype(np.int64)
    return x[450:], y[450:], x[:450], y[:450]


class Cnn(nn.Module):
    """Convolutions with batch norm, one with stride, one depthwise, a residual, and global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(12, 24, 3, 2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU6())
        self.depth = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False), nn.BatchNorm2d(24), nn.Hardswish())
        self.point = nn.Sequential(nn.Conv2d(24, 24, 1, bias=False), nn.BatchNorm2d(24))
        self.head = nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.down(self.stem(x))
        x = functional.relu(x + self.point(self.depth(x)))
        return self.head(x.mean((2, 3)))


class Mlp(nn.Module):
    """Three linear layers, ending in probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).softmax(-1)


class Conv1d(nn.Module):
    """Rows of pixels as channels of a signal."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(8, 24, 3, padding=1), nn.BatchNorm1d(24), nn.ReLU(), nn.MaxPool1d(2))
        self.second = nn.Sequential(nn.Conv1d(24, 32, 3, padding=2, dilation=2), nn.LeakyReLU(0.1), nn.AdaptiveAvgPool1d(1))
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.first(x.squeeze(1))).flatten(1))


@torch.enable_grad()
def _fit(make: Callable[[], nn.Module], epochs: int) -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = make()
    x, y, _, _ = digits()
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(64):
            outputs = model(inputs[chosen])
            scores = outputs.clamp(min=1e-9).log() if isinstance(model, Mlp) else outputs
            loss = functional.cross_entropy(scores, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@cache
def cnn() -> nn.Module:
    """The trained :class:`Cnn`, above 95 % on the test set."""
    return _fit(Cnn, 6)


@cache
def mlp() -> nn.Module:
    """The trained :class:`Mlp`."""
    return _fit(Mlp, 10)


@cache
def conv1d() -> nn.Module:
    """The trained :class:`Conv1d`."""
    return _fit(Conv1d, 8)
