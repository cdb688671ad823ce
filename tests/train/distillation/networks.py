"""Small networks and batches that the tests of distillation use."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.train.objective import Objective, Pass


class Convolutions(nn.Module):
    """Two convolutions and a classifier, with ``end`` behind it."""

    def __init__(self, width: int = 4, classes: int = 3, end: str = "", stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, 2 * width, 3, stride=stride, padding=1)
        self.drop = nn.Dropout(0.5)
        self.classifier = nn.Linear(2 * width, classes)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.norm(self.first(x))))
        y = self.classifier(self.drop(F.relu(y).mean((2, 3))))
        if self.end == "softmax":
            return F.softmax(y, 1)
        if self.end == "log_softmax":
            return F.log_softmax(y, -1)
        if self.end == "sigmoid":
            return torch.sigmoid(y)
        if self.end == "by hand":
            return y.exp() / y.exp().sum(1, keepdim=True)
        return y


def convolutions(seed: int, **options: object) -> Convolutions:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Convolutions(**options)  # type: ignore[arg-type]


def graph_of(module: nn.Module, *examples: Tensor) -> Graph:
    return load(module, example_inputs=examples or (torch.zeros(2, 2, 6, 6),))


def batch(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape or (5, 2, 6, 6), generator=torch.Generator().manual_seed(seed))


def run_through(graph: Graph, objective: Objective, x: Tensor, targets: Tensor | None = None, epoch: int = 0) -> Pass:
    """One batch through the graph, as the loop does it; in evaluation mode, so that tests can repeat it."""
    features: dict[str, Tensor] = {}

    def observe(value: object, tensor: Tensor) -> None:
        if value.name in objective.watches:  # type: ignore[attr-defined]
            features[value.name] = tensor  # type: ignore[attr-defined]

    outputs = graph.module().eval().run([x], observe)
    return Pass([x], targets, outputs, features, epoch)
