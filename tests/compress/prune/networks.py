"""Networks that several tests of pruning use."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.frontend.source import load
from edgekit.ir import Graph, N, TensorType, Value, ops
from tests.compress.prune.masked import randomise


def small_cnn(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 16, 5),
    )
    return randomise(net, seed)


def small_graph(seed: int = 0) -> Graph:
    return load(small_cnn(seed), (torch.zeros(1, 3, 4, 4),))


def densenet(blocks: tuple[int, ...], growth: int = 32, size: int = 32) -> Graph:
    """DenseNet-BC (201: blocks 6, 12, 48, 32) for small pictures, written as a graph."""
    graph = Graph("densenet")

    def state(*shape: int, trainable: bool = True) -> Value:
        data = torch.rand(shape) + 0.1
        return graph.add_state(f"p{len(graph.state)}", nn.Parameter(data) if trainable else data)

    def active(x: Value) -> Value:
        c = x.tensor_shape[1]
        norm = (state(c), state(c), state(c, trainable=False), state(c, trainable=False))
        return graph.add(ops.Relu(), graph.add(ops.BatchNorm(), x, *norm))

    def conv(x: Value, out: int, kernel: int) -> Value:
        pads = ((kernel // 2, kernel // 2),) * 2
        return graph.add(ops.Conv2d(padding=pads), x, state(out, x.tensor_shape[1], kernel, kernel), None)

    x = conv(graph.add_input("x", TensorType(torch.float32, (N, 3, size, size))), 2 * growth, 7)
    for number, layers in enumerate(blocks):
        for _ in range(layers):
            x = graph.add(ops.Concat(axis=1), x, conv(active(conv(active(x), 4 * growth, 1)), growth, 3))
        if number < len(blocks) - 1:
            x = conv(active(x), x.tensor_shape[1] // 2, 1)
            x = graph.add(ops.AvgPool2d(kernel=(2, 2), stride=(2, 2), padding=(0, 0)), x)
    x = graph.add(ops.Mean(axes=(2, 3)), active(x))
    graph.outputs = [graph.add(ops.Linear(), x, state(1000, x.tensor_shape[1]), state(1000))]
    return graph
