"""Random convolutional networks full of what the exact passes act on."""

from __future__ import annotations

import random

import torch
from torch import nn

from edgekit.ir import Graph, N, TensorType, Value, Where, ops


class Network:
    """Grows a graph over values (N, 4, 6, 6), step by random step."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tensors = torch.Generator().manual_seed(seed)
        self.graph = Graph(f"network{seed}")
        self.values = [self.graph.add_input("x", TensorType(torch.float32, (N, 4, 6, 6)))]
        self.weights: list[Value] = []

    def grow(self, steps: int) -> Graph:
        """The graph after so many steps and a head, with one to three outputs, some of them in the middle."""
        kinds = [
            self.conv,
            self.conv,
            self.norm,
            self.norm,
            self.activation,
            self.affine,
            self.pad,
            self.movers,
            self.residual,
            self.nothing,
            self.twice,
            self.composed,
        ]
        for number in range(steps):
            recent = self.values[-3:]
            x = recent[-1] if self.random.random() < 0.7 else self.random.choice(recent)
            self.where = (Where(f"layer{number}", "net.py", number, "forward"),)
            self.values.append(self.random.choice(kinds)(x))
        self.where = (Where("head", "net.py", 99, "forward"),)
        x = self.add(ops.AvgPool2d((6, 6), (6, 6), (0, 0)), self.values[-1])
        x = self.add(ops.Reshape((N, 4)), x)
        head = self.add(ops.Linear(), x, self.state("head.weight", 5, 4), self.state("head.bias", 5))
        middle = self.random.sample(self.values[1:], self.random.randrange(3))
        self.graph.outputs = [head, *dict.fromkeys(middle)]
        return self.graph

    def state(self, name: str, *shape: int, positive: bool = False) -> Value:
        data = torch.randn(shape, generator=self.tensors) * 0.5
        data = data.abs() + 0.3 if positive else data
        name = f"{name}_{len(self.graph.state)}"
        return self.graph.add_state(name, data if positive else nn.Parameter(data))

    def add(self, op: ops.Op, *inputs: Value | None) -> Value:
        return self.graph.add(op, *inputs, where=self.where)

    def conv(self, x: Value) -> Value:
        groups = self.random.choice([1, 2, 4])
        if self.weights and self.random.random() < 0.15:
            return self.add(ops.Conv2d(padding=((1, 1), (1, 1))), x, self.random.choice(self.weights))
        bias = self.state("bias", 4) if self.random.random() < 0.5 else None
        if self.random.random() < 0.2:
            weight = self.state("weight", 4, 4 // groups, 3, 3)
            return self.add(ops.ConvTranspose2d(padding=(1, 1), groups=groups), x, weight, bias)
        weight = self.state("weight", 4, 4 // groups, 3, 3)
        if groups == 1:
            self.weights.append(weight)
        return self.add(ops.Conv2d(padding=((1, 1), (1, 1)), groups=groups), x, weight, bias)

    def norm(self, x: Value) -> Value:
        affine = self.random.random() < 0.7
        weight, bias = (self.state("gamma", 4), self.state("beta", 4)) if affine else (None, None)
        op = ops.BatchNorm(momentum=self.random.choice([None, 0.1]), frozen=self.random.random() < 0.3)
        return self.add(op, x, weight, bias, self.state("mean", 4), self.state("var", 4, positive=True))

    def activation(self, x: Value) -> Value:
        kinds = [ops.Relu(), ops.Relu6(), ops.Clamp(-1.0, 1.0), ops.Sigmoid(), ops.Hardswish(), ops.Clamp(0.0, None)]
        return self.add(self.random.choice(kinds), x)

    def affine(self, x: Value) -> Value:
        shape = self.random.choice([(), (1,), (4, 1, 1), (1, 4, 1, 1), (6,), (4, 6, 6)])
        constant = self.graph.constant(torch.rand(shape, generator=self.tensors) + 0.5, "c")
        kind = self.random.choice([ops.Mul, ops.Add, ops.Sub, ops.Div])
        pair = (constant, x) if self.random.random() < 0.3 and kind is not ops.Div else (x, constant)
        return self.add(kind(self.random.choice(["none", "relu"])), *pair)

    def pad(self, x: Value) -> Value:
        value = self.random.choice([0.0, 0.0, 1.0])
        padded = self.add(ops.Pad(((0, 0), (0, 0), (0, 2), (1, 1)), value=value), x)
        return self.add(ops.Conv2d(), padded, self.state("weight", 4, 4, 3, 3), None)

    def movers(self, x: Value) -> Value:
        if self.random.random() < 0.5:
            there = self.add(ops.Permute((0, 2, 3, 1)), x)
            return self.add(ops.Permute((0, 3, 1, 2)), there)
        return self.add(ops.Reshape((N, 4, 6, 6)), self.add(ops.Reshape((N, 16, 9)), x))

    def residual(self, x: Value) -> Value:
        return self.add(ops.Add(), x, self.random.choice(self.values))

    def nothing(self, x: Value) -> Value:
        kinds = [ops.Dropout(0.5), ops.Identity(), ops.Cast("float32"), ops.Reshape((N, 4, 6, 6))]
        return self.add(self.random.choice(kinds), x)

    def twice(self, x: Value) -> Value:
        op = self.random.choice([ops.Relu(), ops.Tanh()])
        return self.add(ops.Sub(), self.add(op, x), self.add(ops.Neg(), self.add(op, x)))

    def composed(self, x: Value) -> Value:
        if self.random.random() < 0.5:
            return self.add(ops.Mul(), self.add(ops.Sigmoid(), x), x)
        shifted = self.add(ops.Add(), x, self.graph.constant(torch.tensor(3.0), "three"))
        product = self.add(ops.Mul(), x, self.add(ops.Relu6(), shifted))
        return self.add(ops.Div(), product, self.graph.constant(torch.tensor(6.0), "six"))


def network(seed: int, steps: int = 14) -> Graph:
    """The random network of this number."""
    return Network(seed).grow(steps)
