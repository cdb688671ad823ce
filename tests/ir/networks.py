"""Networks built on the graph itself: residual, transformer and recurrent, with random weights."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.ir import Batch, Graph, N, TensorType, Value, Where, ops


class Builder:
    """Adds layers with parameters to a graph."""

    def __init__(self, name: str, *shape: int | Batch) -> None:
        self.graph = Graph(name)
        self.generator = torch.Generator().manual_seed(0)
        self.x = self.graph.add_input("x", TensorType(torch.float32, shape))

    def parameter(self, name: str, *shape: int) -> Value:
        fan_in = max(1, torch.Size(shape[1:]).numel())
        return self.graph.add_state(name, nn.Parameter(torch.randn(shape, generator=self.generator) * (2 / fan_in) ** 0.5))

    def conv(
        self, x: Value, name: str, out: int, kernel: int, stride: int = 1, activation: str = "none", groups: int = 1
    ) -> Value:
        channels = x.tensor_shape[1]
        weight = self.parameter(f"{name}.weight", out, channels // groups, kernel, kernel)
        pad = (kernel - 1) // 2
        op = ops.Conv2d((stride, stride), ((pad, pad), (pad, pad)), groups=groups, activation=activation)
        return self.graph.add(
            op, x, weight, self.parameter(f"{name}.bias", out), name=name, where=(Where(name, "net.py", 10, "forward"),)
        )

    def linear(self, x: Value, name: str, out: int) -> Value:
        weight = self.parameter(f"{name}.weight", out, x.tensor_shape[-1])
        return self.graph.add(ops.Linear(), x, weight, self.parameter(f"{name}.bias", out), name=name)

    def norm(self, x: Value, name: str) -> Value:
        size = x.tensor_shape[-1]
        return self.graph.add(
            ops.LayerNorm(), x, self.parameter(f"{name}.weight", size), self.parameter(f"{name}.bias", size), name=name
        )


def resnet20(width: int = 16) -> Graph:
    """He et al. 2016 for 32 x 32 images, with padded shortcuts (option A) and folded batch norm."""
    b = Builder("resnet20", N, 3, 32, 32)
    x = b.conv(b.x, "conv1", width, 3, activation="relu")
    for stage in range(3):
        for block in range(3):
            stride = 2 if stage and not block else 1
            name, out = f"layer{stage + 1}.{block}", width << stage
            y = b.conv(x, f"{name}.conv1", out, 3, stride, "relu")
            y = b.conv(y, f"{name}.conv2", out, 3)
            if stride == 2:
                shape = x.tensor_shape
                x = b.graph.add(ops.Slice((0,) * 4, (N, *shape[1:]), (1, 1, 2, 2)), x)
                x = b.graph.add(ops.Pad(((0, 0), (out // 4, out // 4), (0, 0), (0, 0))), x)
            x = b.graph.add(ops.Add("relu"), y, x, name=name)
    x = b.graph.add(ops.Mean((2, 3)), x)
    b.graph.outputs = [b.linear(x, "linear", 10)]
    return b.graph


def vit(blocks: int = 4, width: int = 64, heads: int = 4, tokens: int = 64) -> Graph:
    """A vision transformer (Dosovitskiy et al. 2021) over patches of a 32 x 32 image."""
    b = Builder("vit", N, 3, 32, 32)
    g = b.graph
    x = b.conv(b.x, "patch", width, 5, 4)
    x = g.add(ops.Permute((0, 2, 1)), g.add(ops.Reshape((N, width, tokens)), x))
    x = g.add(ops.Add(), x, b.parameter("position", 1, tokens, width))
    for block in range(blocks):
        name = f"blocks.{block}"
        y = b.linear(b.norm(x, f"{name}.norm1"), f"{name}.qkv", 3 * width)
        y = g.add(ops.Permute((2, 0, 3, 1, 4)), g.add(ops.Reshape((N, tokens, 3, heads, width // heads)), y))
        parts = g.add_node(ops.Split(0, (1, 1, 1)), [y]).outputs
        q, k, v = (g.add(ops.Reshape((N, heads, tokens, width // heads)), part) for part in parts)
        y = g.add(ops.Permute((0, 2, 1, 3)), g.add(ops.Attention(), q, k, v))
        x = g.add(ops.Add(), x, b.linear(g.add(ops.Reshape((N, tokens, width)), y), f"{name}.proj", width))
        y = g.add(ops.Gelu(), b.linear(b.norm(x, f"{name}.norm2"), f"{name}.fc1", 4 * width))
        x = g.add(ops.Add(), x, b.linear(y, f"{name}.fc2", width))
    g.outputs = [b.linear(g.add(ops.Mean((1,)), b.norm(x, "norm")), "head", 10)]
    return g


def inverted_residuals() -> Graph:
    """Three MobileNetV2 blocks (Sandler et al. 2018) with a squeeze-and-excite gate, and two outputs."""
    b = Builder("inverted", N, 3, 32, 32)
    g = b.graph
    x = b.conv(b.x, "stem", 16, 3, 2, "relu6")
    for block, stride in enumerate((1, 2, 1)):
        name, channels = f"blocks.{block}", x.tensor_shape[1]
        y = b.conv(x, f"{name}.expand", 6 * channels, 1, activation="relu6")
        y = b.conv(y, f"{name}.depthwise", 6 * channels, 3, stride, "relu6", groups=6 * channels)
        gate = g.add(ops.Mean((2, 3), True), y)
        gate = g.add(ops.Sigmoid(), b.conv(gate, f"{name}.gate", 6 * channels, 1))
        y = b.conv(g.add(ops.Mul(), y, gate), f"{name}.project", channels, 1)
        x = g.add(ops.Add(), x, y) if stride == 1 else y
    pooled = g.add(ops.Mean((2, 3)), x)
    logits = b.linear(pooled, "head", 10)
    g.outputs = [g.add(ops.Softmax(), logits), pooled]
    return g


def lstm_classifier() -> Graph:
    """Two LSTM layers over windows of six signals, 128 steps, and a linear head on the last step."""
    b = Builder("lstm", N, 128, 6)
    weights = []
    for layer, width in enumerate((6, 16)):
        weights += [b.parameter(f"lstm.w{i}_l{layer}", 64, size) for i, size in enumerate((width, 16))]
        weights += [b.parameter(f"lstm.b{i}_l{layer}", 64) for i in range(2)]
    y = b.graph.add_node(ops.Lstm(16, layers=2), [b.x, None, None, *weights]).outputs[0]
    last = b.graph.add(ops.Reshape((N, 16)), b.graph.add(ops.Slice((0, 127, 0), (N, 128, 16), (1, 1, 1)), y))
    b.graph.outputs = [b.linear(last, "head", 6)]
    return b.graph
