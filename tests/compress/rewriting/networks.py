"""Small networks and graphs that tests of rewriting use."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgekit.frontend.source import load
from edgekit.ir import Graph, N, TensorType, ops
from edgekit.ir.ops.base import Op
from tests.compress.prune.masked import randomise

#: Convolutions of every kind: op, shape of the weight, shape of one input without batch.
CONVOLUTIONS: dict[str, tuple[Op, tuple[int, ...], tuple[int, ...]]] = {
    "plain": (ops.Conv2d(), (6, 5, 3, 3), (5, 9, 8)),
    "strides": (ops.Conv2d(stride=(2, 3), padding=((1, 1), (1, 1))), (6, 5, 3, 3), (5, 9, 11)),
    "one stride": (ops.Conv2d(stride=(1, 2)), (6, 5, 3, 3), (5, 9, 8)),
    "dilations": (ops.Conv2d(dilation=(2, 3), padding=((2, 2), (3, 3))), (6, 5, 3, 3), (5, 9, 11)),
    "asymmetric padding": (ops.Conv2d(padding=((0, 1), (2, 0))), (6, 5, 3, 3), (5, 9, 8)),
    "all at once": (ops.Conv2d((2, 1), ((3, 0), (0, 2)), (1, 2)), (4, 7, 4, 2), (7, 10, 9)),
    "many outputs": (ops.Conv2d(padding=((1, 1), (1, 1))), (32, 2, 3, 3), (2, 6, 6)),
    "few outputs": (ops.Conv2d(padding=((1, 1), (1, 1))), (2, 32, 3, 3), (32, 6, 6)),
    "large kernel": (ops.Conv2d(padding=((2, 2), (2, 2))), (4, 3, 5, 5), (3, 8, 8)),
    "fused activation": (ops.Conv2d(padding=((1, 1), (1, 1)), activation="relu"), (6, 5, 3, 3), (5, 6, 6)),
    "1-D": (ops.Conv1d(padding=((1, 1),)), (6, 5, 3), (5, 12)),
    "1-D, all at once": (ops.Conv1d((2,), ((4, 0),), (2,)), (6, 5, 3), (5, 17)),
}


def conv_graph(name: str, *, bias: bool = True, norm: bool = False) -> Graph:
    """One of ``CONVOLUTIONS``, called ``conv``, with a batch norm behind it if asked."""
    op, shape, size = CONVOLUTIONS[name]
    torch.manual_seed(len(name))
    graph = Graph("conv")
    x = graph.add_input("x", TensorType(torch.float32, (N, *size)))
    weight = graph.add_state("conv.weight", nn.Parameter(torch.randn(shape)))
    y = graph.add(op, x, weight, graph.add_state("conv.bias", nn.Parameter(torch.randn(shape[0]))) if bias else None)
    if norm:
        leaves = ("weight", "bias", "running_mean", "running_var")
        data = [torch.rand(shape[0]) + 0.5 for _ in leaves]
        y = graph.add(ops.BatchNorm(), y, *[
            graph.add_state(f"bn.{leaf}", nn.Parameter(t) if leaf in ("weight", "bias") else t)
            for leaf, t in zip(leaves, data, strict=True)
        ])  # fmt: skip
    graph.outputs = [y]
    return graph


class Cnn(nn.Module):
    """Convolutions with strides and batch norm, one depthwise, one pointwise, and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(16, 32, 3, 2, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.depth = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.point = nn.Conv2d(32, 24, 1)
        self.fc = nn.Linear(24, 40)
        self.head = nn.Linear(40, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.point(self.depth(self.body(self.stem(x)))))
        return self.head(torch.relu(self.fc(x.mean((2, 3)))))  # type: ignore[no-any-return]


def loaded(net: nn.Module, *shape: int, seed: int = 0) -> Graph:
    """The graph of a network with random weights and statistics, for inputs of this shape."""
    return load(randomise(net, seed), (torch.zeros(1, *shape),))


def cnn() -> Graph:
    return loaded(Cnn(), 3, 8, 8)


def outputs(graph: Graph, x: torch.Tensor) -> Any:
    with torch.no_grad():
        return graph.module().eval()(x)
