"""Rare combinations of couplings lose half their channels exactly, by several criteria and scopes, or are named."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from edgekit.compress.prune import Prune
from edgekit.frontend.source import load
from edgekit.ir import Graph
from tests.compress.prune.combinations import COMBINATIONS
from tests.compress.prune.independent import difference, outputs_in_double, reference_outputs
from tests.compress.prune.masked import randomise

torch.set_num_threads(1)

HALF = (0.5, "l1", "local")
MORE_WAYS = [(0.5, "random", "global"), (0.3, "fpgm", "local"), (0.75, "l2", "global"), (0.6, "random", "local")]


def example(name: str, batch: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(batch)
    shapes = [(batch, *shape) for shape in COMBINATIONS[name].shapes]
    if COMBINATIONS[name].tokens:
        return tuple(torch.randint(0, 20, shape, generator=generator) for shape in shapes)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def made(name: str) -> tuple[torch.nn.Module, Graph]:
    torch.manual_seed(0)
    model = randomise(COMBINATIONS[name].build(), 2)
    return model, load(model, example(name, 1))


def assert_exact(name: str, model: torch.nn.Module, graph: Graph, ratio: float, criterion: str, scope: str) -> Graph:
    small = Prune(ratio=ratio, criterion=criterion, scope=scope).apply(graph)
    xs = example(name, 3)
    assert difference(reference_outputs(model, small.history[-1], xs), outputs_in_double(small, xs)) < 1e-9
    return small


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_combination_loses_half_its_channels_exactly(name: str) -> None:
    model, graph = made(name)
    small = assert_exact(name, model, graph, *HALF)
    record, alone = small.history[-1], COMBINATIONS[name].alone
    for parameter, value in graph.state.items():
        if value.is_trainable and value.type.rank > 1 and max(value.tensor_shape[:2]) > 1:
            assert parameter in record.removed or parameter in record.declined, f"'{parameter}' was silently left alone"
    for parameter, why in record.declined.items():
        expected = "model's output" in why or (alone and re.search(alone, parameter))
        assert expected, f"'{parameter}' was left alone: {why}"
    assert record.removed or alone or all("model's output" in why for why in record.declined.values())
    assert not alone or any(re.search(alone, parameter) for parameter in record.declined), "nothing is left alone any more"


@pytest.mark.slow
@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("way", MORE_WAYS, ids=lambda way: f"{way[1]}-{way[2]}-{way[0]}")
def test_a_combination_is_pruned_exactly_by_other_shares_and_criteria(name: str, way: tuple[float, str, str]) -> None:
    assert_exact(name, *made(name), *way)


def test_there_are_many_combinations() -> None:
    assert len(COMBINATIONS) >= 110
