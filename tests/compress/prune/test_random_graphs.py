"""Random networks lose half their channels exactly, with the product's oracle and with zeros in the source's weights."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.prune import Prune
from tests.compress.prune.masked import largest_difference, masked_source
from tests.compress.prune.random_graphs import Builder
from tests.rewrites import random_inputs

torch.set_num_threads(1)


def assert_prunes(seed: int) -> None:
    graph = Builder(seed).build()
    graph.verify()
    small = Prune(ratio=0.5, criterion="random", seed=seed).apply(graph)
    record = small.history[-1]
    for name, value in graph.state.items():
        if value.users and value.type.rank == 4 and value.is_trainable:
            assert name in record.removed or name in record.declined, f"seed {seed}: '{name}' was silently left alone"
    # the reference is the very graph with zeros in it: torch alone runs it, in double precision
    x = [tensor.double() for tensor in random_inputs(graph, batch=3, seed=seed)]
    with torch.no_grad():
        masked = masked_source(graph.module().double(), record.removed, record.details.get("removed_of_groups")).run(x)
        assert largest_difference(masked, small.module().double().eval().run(x)) < 1e-5, f"seed {seed}"
    assert record.removed, f"seed {seed}: {record.declined}"


@pytest.mark.parametrize("block", range(10))
def test_random_graphs_lose_half_their_channels_exactly(block: int) -> None:
    for seed in range(10 * block, 10 * block + 10):
        assert_prunes(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10, 50))
def test_four_hundred_more(block: int) -> None:
    for seed in range(10 * block, 10 * block + 10):
        assert_prunes(seed)
