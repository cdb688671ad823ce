"""Stacked and bidirectional LSTM layers become single ones that compute the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.frontend.source import load
from edgekit.ir import ops
from edgekit.passes import run_passes
from edgekit.passes.split_recurrent import SplitLstm


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("layers", "both"), [(2, False), (1, True), (3, True)])
def test_a_stack_is_one_node_for_each_layer_and_direction(layers: int, both: bool, batch_first: bool) -> None:
    torch.manual_seed(0)
    module = nn.LSTM(5, 4, layers, batch_first=batch_first, bidirectional=both).eval()
    x = torch.randn((2, 7, 5) if batch_first else (7, 2, 5))
    graph = load(module, (x,), batch_axes=None if batch_first else {"input": 1})
    split, (record,) = run_passes(graph, [SplitLstm()])
    singles = [node.op for node in split.nodes if isinstance(node.op, ops.Lstm)]
    assert record.rewrites == 1 and len(singles) == layers * (2 if both else 1)
    assert all(op.layers == 1 and not op.bidirectional for op in singles)
    assert [value.name for value in split.outputs] == [value.name for value in graph.outputs]
    torch.testing.assert_close(split.module().eval()(x), module(x), atol=1e-6, rtol=1e-6)


def test_one_that_is_given_states_stays() -> None:
    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(5, 4, 2, batch_first=True)

        def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
            return self.layer(x, (h, h))[0]

    graph = load(Given().eval(), (torch.randn(1, 7, 5), torch.randn(2, 1, 4)), batch_axes={"h": 1})
    assert run_passes(graph, [SplitLstm()])[1][0].rewrites == 0
