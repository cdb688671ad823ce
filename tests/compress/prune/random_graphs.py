"""Random networks of residual adds, concats, splits, depthwise and grouped convolutions, shuffles, gates and reshapes."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import nn

from edgekit.ir import Graph, N, TensorType, Value, ops


class Builder:
    """Draws one network from a seed. Every layer is small, so that a graph takes milliseconds."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.graph = Graph(f"random_{seed}")
        self.count = 0
        self.size = self.draw.choice([4, 6])
        self.maps: list[Value] = []

    def state(self, *shape: int, positive: bool = False, trainable: bool = True) -> Value:
        data = torch.randn(shape, generator=self.generator) * 0.5
        data = data.abs() + 0.5 if positive else data
        self.count += 1
        return self.graph.add_state(f"p{self.count}", nn.Parameter(data) if trainable else data)

    def conv(self, x: Value, out: int, kernel: int = 1, groups: int = 1, transposed: bool = False) -> Value:
        i, bias = x.tensor_shape[1], self.draw.random() < 0.5
        if transposed:
            weight = self.state(i, out // groups, 1, 1)
            op: ops.Op = ops.ConvTranspose2d(groups=groups)
        else:
            weight = self.state(out, i // groups, kernel, kernel)
            op = ops.Conv2d(padding=((kernel // 2, kernel // 2),) * 2, groups=groups)
        return self.graph.add(op, x, weight, self.state(out) if bias else None)

    def norm(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        extra = (self.state(c, trainable=False), self.state(c, positive=True, trainable=False))
        return self.graph.add(ops.BatchNorm(), x, self.state(c), self.state(c), *extra)

    def act(self, x: Value) -> Value:
        op = self.draw.choice([ops.Relu(), ops.Silu(), ops.Sigmoid(), ops.Hardswish(), ops.LeakyRelu()])
        return self.graph.add(op, x)

    def block(self, x: Value, out: int, kernel: int = 1, groups: int = 1) -> Value:
        y = self.conv(x, out, kernel, groups)
        y = self.norm(y) if self.draw.random() < 0.6 else y
        return self.act(y) if self.draw.random() < 0.7 else y

    # ------------------------------------------------------------------ moves

    def plain(self, x: Value) -> Value:
        return self.block(x, self.draw.choice([4, 6, 8, 12]), self.draw.choice([1, 3]))

    def residual(self, x: Value) -> Value:
        return self.graph.add(ops.Add(), x, self.block(x, x.tensor_shape[1], 3))

    def older(self, x: Value) -> Value:
        y = self.draw.choice(self.maps)
        y = y if y.tensor_shape[1] == x.tensor_shape[1] else self.conv(y, x.tensor_shape[1])
        return self.graph.add(self.draw.choice([ops.Add(), ops.Sub(), ops.Maximum(), ops.Mul()]), x, y)

    def concat(self, x: Value) -> Value:
        y = self.draw.choice([*self.maps, self.block(x, self.draw.choice([2, 4]))])
        return self.graph.add(ops.Concat(axis=1), *([x, y] if self.draw.random() < 0.5 else [y, x]))

    def split(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        first = self.draw.randint(1, c - 1)
        parts = list(self.graph.add_node(ops.Split(axis=1, sizes=(first, c - first)), [x]).outputs)
        self.draw.shuffle(parts)
        if self.draw.random() < 0.5:
            parts[0] = self.block(parts[0], self.draw.choice([4, 6]))
        return self.graph.add(ops.Concat(axis=1), *parts) if self.draw.random() < 0.7 else parts[0]

    def chunks(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        if c % 2:
            return self.plain(x)
        a, b = self.graph.add_node(ops.Split(axis=1, sizes=(c // 2, c // 2)), [x]).outputs
        return self.graph.add(ops.Mul(), b, self.graph.add(ops.Sigmoid(), a))

    def cut(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        step = self.draw.choice([1, 1, 2])
        start = self.draw.randint(0, c // 3)
        stop = self.draw.randint(max(start + 1, c - 2), c)
        return self.graph.add(
            ops.Slice(starts=(0, start, 0, 0), stops=(N, stop, self.size, self.size), steps=(1, step, 1, 1)), x
        )

    def pad(self, x: Value) -> Value:
        low, high = self.draw.randint(0, 2), self.draw.randint(0, 2)
        y = self.graph.add(ops.Pad(pads=((0, 0), (low, high), (0, 0), (0, 0))), x)
        return self.graph.add(ops.Add(), y, self.conv(x, y.tensor_shape[1]))

    def depthwise(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        return self.block(x, c * self.draw.choice([1, 1, 2]), 3, groups=c)

    def grouped(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        groups = self.draw.choice([g for g in (1, 2, 3, 4) if c % g == 0])
        out = groups * self.draw.choice([2, 3, 4])
        return self.conv(x, out, groups=groups, transposed=True) if self.draw.random() < 0.3 else self.block(x, out, 1, groups)

    def shuffle(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        groups = self.draw.choice([g for g in (1, 2, 3, 4) if c % g == 0])
        y = self.graph.add(ops.Reshape(shape=(N, groups, c // groups, self.size, self.size)), x)
        y = self.graph.add(ops.Permute(dims=(0, 2, 1, 3, 4)), y)
        return self.graph.add(ops.Reshape(shape=(N, c, self.size, self.size)), y)

    def gate(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        y = self.graph.add(ops.Mean(axes=(2, 3), keepdim=True), x)
        y = self.graph.add(ops.Sigmoid(), self.conv(self.act(self.conv(y, 4)), self.draw.choice([c, 1])))
        return self.graph.add(ops.Mul(), x, y)

    def rows(self, x: Value) -> Value:
        """(N, C, H, W) to (N, H, C * W), a linear layer there, and back to a map."""
        c, size, out = x.tensor_shape[1], self.size, self.draw.choice([4, 6])
        y = self.graph.add(ops.Permute(dims=(0, 2, 1, 3)), x)
        y = self.graph.add(ops.Reshape(shape=(N, size, c * size)), y)
        y = self.graph.add(ops.Linear(), y, self.state(out * size, c * size), self.state(out * size))
        y = self.graph.add(ops.Reshape(shape=(N, size, out, size)), y)
        return self.graph.add(ops.Permute(dims=(0, 2, 1, 3)), y)

    def scale(self, x: Value) -> Value:
        return self.graph.add(ops.Mul(), x, self.state(x.tensor_shape[1], 1, 1))

    def build(self) -> Graph:
        x = self.graph.add_input("x", TensorType(torch.float32, (N, 3, self.size, self.size)))
        x = self.block(x, 8, 3)
        self.maps = [x]
        moves: list[Callable[[Value], Value]] = [
            *[self.plain, self.plain, self.residual, self.older, self.concat, self.split, self.chunks, self.cut, self.pad],
            *[self.depthwise, self.grouped, self.shuffle, self.gate, self.rows, self.scale],
        ]
        for _ in range(self.draw.randint(3, 9)):
            x = self.draw.choice(moves)(x)
            if x.tensor_shape[1] > 24 or x.tensor_shape[1] < 3:
                x = self.plain(x)
            self.maps.append(x)
        for y in {id(v): v for v in self.maps if not v.users and v is not x}.values():
            x = self.graph.add(ops.Add(), self.conv(x, 6), self.conv(y, 6))
        flat = self.graph.add(ops.Reshape(shape=(N, x.type.numel())), x)
        self.graph.outputs = [self.graph.add(ops.Linear(), flat, self.state(3, flat.tensor_shape[1]), self.state(3))]
        self.graph.eliminate_dead()
        return self.graph
