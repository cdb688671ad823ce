"""Structures of real networks, small: rewritten at full rank every one stays what it was, at low rank every one still runs."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.low_rank import LowRank
from edgekit.compress.separable import Separable
from edgekit.ir import ops
from tests.compress.prune.masked import largest_difference
from tests.compress.prune.random_graphs import Builder
from tests.compress.prune.structures import STRUCTURES
from tests.compress.prune.test_structures import example, made
from tests.rewrites import random_inputs

torch.set_num_threads(1)


_KERNELS = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d)


@pytest.mark.slow
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_is_rewritten(name: str) -> None:
    _, graph = made(name)
    x = example(STRUCTURES[name], 2)
    inputs = x if isinstance(x, tuple) else (x,)
    with torch.no_grad():
        wanted = graph.module().eval()(*inputs)
        for step in (Separable(multiplier=99, allow_dearer=True), LowRank(energy=1.0, allow_dearer=True)):
            small = step.apply(graph)
            assert largest_difference(wanted, small.module().eval()(*inputs)) < 1e-4, type(step).__name__
        for step in (Separable(error=0.9), LowRank(error=0.9)):
            small = step.apply(graph)
            record = small.history[-1]
            rewritten, declined = record.details["layers"], record.declined
            assert not rewritten.keys() & declined.keys()
            for node in graph.nodes:
                if isinstance(node.op, _KERNELS) and node.input(1).is_trainable:
                    names = {key for key, value in graph.state.items() if value is node.input(1)}
                    assert names & (rewritten.keys() | declined.keys()), f"{names} is neither rewritten nor named"
            small.module().train()(*inputs)


@pytest.mark.parametrize("seed", range(200))
@pytest.mark.slow
def test_random_graphs_stay_what_they_were_at_full_rank(seed: int) -> None:
    graph = Builder(seed).build()
    inputs = random_inputs(graph, batch=2, seed=seed)
    with torch.no_grad():
        wanted = graph.module().eval().run([x.clone() for x in inputs])
        for step in (
            Separable(multiplier=99, copies=bool(seed % 2), allow_dearer=True),
            LowRank(energy=1.0, allow_dearer=True),
        ):
            small = step.apply(graph)
            assert small.history[-1].details["layers"]
            got = small.module().eval().run([x.clone() for x in inputs])
            assert max(largest_difference(a, b) for a, b in zip(wanted, got, strict=True)) < 1e-4, type(step).__name__
