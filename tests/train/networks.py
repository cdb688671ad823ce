"""Tiny networks and data that train in a second."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import nn

from edgekit.frontend.source import load
from edgekit.ir import Graph


class Digits(nn.Module):
    """Convolution, batch norm, dropout and a linear layer on 8x8 images."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(6 * 16, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        return self.head(self.drop(x.flatten(1)))


def graph_of(module: nn.Module, *shapes: tuple[int, ...]) -> Graph:
    return load(module, tuple(torch.zeros(shape) for shape in shapes))


@functools.cache
def digits(classes: int = 4) -> Graph:
    torch.manual_seed(0)
    return graph_of(Digits(classes), (1, 1, 8, 8))


def blobs(count: int = 96, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images whose bright quarter tells the class, and the classes."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, count)
    x = random.standard_normal((count, 1, 8, 8)).astype(np.float32) * 0.3
    for image, label in zip(x, y, strict=True):
        row, column = divmod(int(label) % 4, 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    return x, y


def tensors(graph: Graph) -> dict[str, torch.Tensor]:
    return {name: value.tensor.detach() for name, value in graph.state.items()}


def same(one: Graph, other: Graph) -> bool:
    """Bit for bit the same parameters and buffers."""
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
