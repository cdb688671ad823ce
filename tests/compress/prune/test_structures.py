"""Every structure loses half its channels exactly, or is left alone by name: never wrong, never silently unpruned."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from edgekit.compress.prune import Prune
from edgekit.frontend.source import load
from edgekit.ir import Graph
from tests.compress.prune.masked import largest_difference, masked_source, outputs, randomise
from tests.compress.prune.structures import STRUCTURES, Structure

torch.set_num_threads(1)


def example(structure: Structure, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if structure.tokens:
        return torch.randint(0, 20, (batch, *structure.shape), generator=generator)
    return torch.randn((batch, *structure.shape), generator=generator)


def made(name: str) -> tuple[nn.Module, Graph]:
    torch.manual_seed(0)
    model = randomise(STRUCTURES[name].build(), 2)
    return model, load(model, (example(STRUCTURES[name], 1),))


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_loses_half_its_channels_exactly(name: str) -> None:
    structure = STRUCTURES[name]
    model, graph = made(name)
    small = Prune(ratio=0.5, criterion="l1").apply(graph)
    record = small.history[-1]
    assert record.removed or structure.alone, f"nothing was pruned: {record.declined}"
    assert not record.removed or (small.parameters < graph.parameters and record.details["parity_error"] < 1e-5)

    # every weight that makes channels lost some, or is named with a reason
    for parameter, value in graph.state.items():
        if value.is_trainable and value.type.rank > 1 and parameter not in record.removed:
            assert parameter in record.declined, f"'{parameter}' was silently left alone"
    for parameter, why in record.declined.items():
        expected = "model's output" in why or (structure.alone and re.search(structure.alone, parameter))
        assert expected, f"'{parameter}' was left alone: {why}"

    x = example(structure, 3)
    if not structure.statistics:
        with torch.no_grad():
            masked = masked_source(model, record.removed, record.details.get("removed_of_groups"))(x)
            assert largest_difference(masked, small.module().eval()(x)) < 1e-5

    # outputs keep their shape, and the smaller network trains
    assert [y.shape for y in outputs(small.module().eval()(x))] == [y.shape for y in outputs(model(x))]
    module = small.module().train()
    sum(y.square().mean() for y in outputs(module(x))).backward()  # type: ignore[union-attr]
    assert any(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in module.parameters())


def test_there_are_a_structure_for_every_way_to_couple() -> None:
    assert len(STRUCTURES) >= 95
