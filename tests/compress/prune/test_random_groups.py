"""Grouped convolutions of any number of groups, shuffled, joined and split at random, lose channels exactly and evenly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.compress.prune import Prune
from edgekit.ir import Graph, N, TensorType, Value, ops
from tests.compress.prune.masked import largest_difference, masked_source
from tests.compress.prune.random_graphs import Builder
from tests.rewrites import random_inputs

torch.set_num_threads(1)


class Groups(Builder):
    """Mostly groups: 2 to 6 of them, in widths of 12 to 48."""

    def plain(self, x: Value) -> Value:
        return self.block(x, self.draw.choice([12, 24, 36]))

    def grouped(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        groups = self.draw.choice([g for g in (2, 3, 4, 6, 1) if c % g == 0])
        out = groups * self.draw.choice([4, 6, 12])
        return self.conv(x, out, groups=groups, transposed=True) if self.draw.random() < 0.3 else self.block(x, out, 1, groups)

    def shuffle(self, x: Value) -> Value:
        c = x.tensor_shape[1]
        groups = self.draw.choice([g for g in (2, 3, 4, 6, 1) if c % g == 0])
        y = self.graph.add(ops.Reshape(shape=(N, groups, c // groups, self.size, self.size)), x)
        y = self.graph.add(ops.Permute(dims=(0, 2, 1, 3, 4)), y)
        return self.graph.add(ops.Reshape(shape=(N, c, self.size, self.size)), y)

    def as_batch(self, x: Value) -> Value:
        """Pairs of rows of all channels as a larger batch, and back."""
        c, size = x.tensor_shape[1], self.size
        merged = TensorType(torch.float32, (N, c, size, size)).numel() // (2 * size)
        y = self.graph.add(ops.Reshape(shape=(type(N)(merged), 2, size)), x)
        y = self.graph.add(ops.Permute(dims=(0, 2, 1)), self.act(y))
        return self.graph.add(ops.Reshape(shape=(N, c, size, size)), y)

    def build(self) -> Graph:
        x = self.graph.add_input("x", TensorType(torch.float32, (N, 3, self.size, self.size)))
        x = self.block(x, self.draw.choice([12, 24]), 3)
        self.maps = [x]
        moves = [self.grouped, self.grouped, self.grouped, self.shuffle, self.shuffle, self.depthwise, self.residual]
        moves += [self.concat, self.split, self.older, self.as_batch, self.scale]
        for _ in range(self.draw.randint(3, 7)):
            x = self.draw.choice(moves)(x)
            if not 8 <= x.tensor_shape[1] <= 60:
                x = self.plain(x)
            self.maps.append(x)
        flat = self.graph.add(ops.Mean(axes=(2, 3)), x)
        self.graph.outputs = [self.graph.add(ops.Linear(), flat, self.state(3, flat.tensor_shape[1]), self.state(3))]
        self.graph.eliminate_dead()
        return self.graph


def assert_prunes(seed: int) -> tuple[bool, bool]:
    """Returns whether anything was pruned (shuffles added to what they shuffle may tie all channels of a small network), and
    whether some convolution keeps other inputs in every group.
    """
    graph = Groups(seed).build()
    graph.verify()
    small = Prune(ratio=0.5, criterion="random", seed=seed, scope="global" if seed % 3 == 0 else "local").apply(graph)
    record = small.history[-1]
    for name, value in graph.state.items():
        if value.users and value.type.rank == 4 and value.is_trainable:
            assert name in record.removed or name in record.declined, f"seed {seed}: '{name}' was silently left alone"
    x = [tensor.double() for tensor in random_inputs(graph, batch=3, seed=seed)]
    apart = record.details.get("removed_of_groups")
    with torch.no_grad():
        masked = masked_source(graph.module().double(), record.removed, apart).run(x)
        assert largest_difference(masked, small.module().double().eval().run(x)) < 1e-5, f"seed {seed}"
    return bool(record.removed), bool(apart)


def test_random_groups_lose_half_their_channels_exactly() -> None:
    pruned, apart = np.array([assert_prunes(seed) for seed in range(40)]).sum(0)
    assert pruned >= 38 and apart >= 1


@pytest.mark.slow
@pytest.mark.parametrize("block", range(1, 11))
def test_four_hundred_more(block: int) -> None:
    pruned, _ = np.array([assert_prunes(seed) for seed in range(40 * block, 40 * block + 40)]).sum(0)
    assert pruned >= 36
