"""Networks that are made binary in a second or two, trained on digits; each is trained once a process."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

import edgekit as ek
from edgekit.ir import Graph
from tests.trained import digits

TRAINING = ek.Training(optimizer="adam", lr=3e-3, weight_decay=0.0, batch_size=64, validation=0.0)


class Pooled(nn.Module):
    """Convolutions, the inner two to become binary, one of them with an odd number of channels, pooling and a linear end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 15, 3, padding=1, bias=False), nn.BatchNorm2d(15), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(15, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2))
        self.third = nn.Sequential(nn.Conv2d(32, 40, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(40), nn.ReLU())
        self.last = nn.Linear(160, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.third(self.second(self.first(x))).flatten(1))


class Layers(nn.Module):
    """An MLP with batch norms."""

    def __init__(self) -> None:
        super().__init__()
        sizes, layers = (64, 96, 70, 48), list[nn.Module]()
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Dropout(0.0), nn.Linear(48, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Residual(nn.Module):
    """A block whose activation is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.inner = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.last = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.last(functional.relu(x + self.inner(x)).mean((2, 3)))


def source(kind: type[nn.Module]) -> Graph:
    torch.manual_seed(0)
    return ek.load(kind(), (torch.zeros(1, 1, 8, 8),))


@cache
def binary(kind: type[nn.Module], method: str, epochs: int = 3) -> Graph:
    x, y, x_test, y_test = digits()
    step = ek.Binarize(method=method, epochs=epochs, training=TRAINING)
    return ek.Recipe([step]).apply(source(kind), ek.Data(train=(x, y), evaluate=(x_test, y_test)))
