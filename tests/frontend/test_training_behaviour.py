"""What the source does in training the graph does too, or it says what it does not do."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit import Unsupported
from edgekit.frontend.source import load
from edgekit.ir import ops
from tests.frontend.compare import assert_equal, assert_same_gradients

torch.set_num_threads(1)
IMAGE = torch.randn(2, 3, 8, 8)
ROWS = torch.randn(2, 6)


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout2d(0.3),
        nn.Flatten(),
        nn.Linear(144, 5),
        nn.BatchNorm1d(5, momentum=None),
        nn.Dropout(0.2),
    )


def steps(module: nn.Module, count: int = 4, batch: int = 6) -> list[torch.Tensor]:
    """Outputs of a few training steps with the same data and the same random numbers."""
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(11)
    outputs = []
    for _ in range(count):
        optimizer.zero_grad()
        y = module(torch.randn(batch, 3, 8, 8))
        y.square().mean().backward()
        optimizer.step()
        outputs.append(y.detach())
    return outputs


def test_a_graph_trains_as_its_source_does_dropout_and_statistics_included() -> None:
    source = network()
    graph = load(copy.deepcopy(source), (IMAGE,))
    run = graph.module()
    for mine, theirs in zip(steps(run), steps(source), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    for (name, mine), (theirs_name, theirs) in zip(run.state_dict().items(), source.state_dict().items(), strict=True):
        assert name == theirs_name
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    x = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(run.eval()(x), source.eval()(x), atol=1e-5, rtol=1e-5)


def test_gradients_of_a_training_step_are_the_sources() -> None:
    source = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(144, 5)).train()
    run = load(source, (IMAGE,)).module().train()
    assert_same_gradients(source, run, [torch.randn(6, 3, 8, 8)], 1e-5)


def test_a_cumulative_average_keeps_its_momentum_of_none() -> None:
    graph = load(network(), (IMAGE,))
    momenta = [node.op.momentum for node in graph.nodes if isinstance(node.op, ops.BatchNorm)]
    assert momenta == [0.1, None]


def test_dropout_inside_recurrent_and_attention_layers_acts_in_training() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 8, 2, dropout=0.5, batch_first=True)
            self.attention = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.lstm(x)[0]
            return self.attention(y, y, y)[0]

    graph = load(Both(), (torch.randn(2, 5, 6),))
    assert [node.op.dropout for node in graph.nodes if isinstance(node.op, ops.Lstm | ops.Attention)] == [0.5, 0.5]
    run = graph.module().train()
    x = torch.randn(2, 5, 6)
    assert not torch.equal(run(x), run(x))
    assert torch.equal(run.eval()(x), run(x))


def test_dropout_of_attention_weights_with_time_first_acts_in_training() -> None:
    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, dropout=0.4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x)[0]

    graph = load(TimeFirst(), (torch.randn(5, 2, 8),), batch_axes={"x": 1})
    assert [node.op.p for node in graph.nodes if isinstance(node.op, ops.Dropout)] == [0.4]


class StochasticDepth(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.drop(self.body(x))
        return F.dropout(self.head(x + y), 0.25, self.training)

    def drop(self, y: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return y
        kept = torch.rand(y.shape[0], 1) < 0.5
        return y * kept / 0.5


def test_what_acts_only_in_training_is_listed_with_its_line() -> None:
    graph = load(StochasticDepth(), (ROWS,))
    (note,) = [n for n in graph.notes if "only in training" in n and "rand" in n]
    assert "test_training_behaviour.py" in note and "in drop" in note
    assert [node.op.p for node in graph.nodes if isinstance(node.op, ops.Dropout)] == [0.25]


def test_a_functional_dropout_that_never_trains_is_not_in_the_graph() -> None:
    class Never(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(F.dropout(x, 0.5, training=False))

    assert [node.op.name for node in load(Never(), (ROWS,)).nodes] == ["relu"]


class FunctionalNorm(nn.Module):
    mean: torch.Tensor
    var: torch.Tensor

    def __init__(self, trains: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3,), 0.5))
        self.register_buffer("var", torch.full((3,), 2.0))
        self.trains = trains

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.trains:
            return F.batch_norm(x, self.mean, self.var, training=self.training)
        return F.batch_norm(x, self.mean, self.var)


@pytest.mark.parametrize("trains", [True, False])
def test_a_functional_batch_norm_updates_statistics_only_where_the_source_does(trains: bool) -> None:
    source = FunctionalNorm(trains)
    run = load(copy.deepcopy(source), (IMAGE,)).module().train()
    source.train()
    x = torch.randn(5, 3, 8, 8)
    assert_equal(run(x), source(x), 1e-6)
    assert_equal(dict(run.state_dict()), dict(source.state_dict()), 1e-6)


def test_a_batch_norm_that_train_leaves_frozen_stays_frozen() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self.norm.eval()
            return self

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x)

    graph = load(Frozen(), (IMAGE,))
    (norm,) = [node.op for node in graph.nodes]
    assert isinstance(norm, ops.BatchNorm) and norm.frozen
    run = graph.module().train()
    run(torch.randn(4, 3, 8, 8) + 3)
    assert torch.equal(run.state_dict()["norm.running_mean"], torch.zeros(3))


def test_another_result_in_training_is_said() -> None:
    class Auxiliary(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return (x * 2, x) if self.training else x * 2

    assert any("another structure" in note for note in load(Auxiliary(), (ROWS,)).notes)


def test_other_numbers_in_training_are_said() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (0.5 if self.training else 1.5)

    assert any("other in training" in note for note in load(Scaled(), (ROWS,)).notes)


def test_layers_of_torch_alone_need_no_second_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.frontend.torch import load as module

    monkeypatch.setattr(module, "trace_training", lambda *_, **__: pytest.fail("traced twice"))
    assert load(network(), (IMAGE,)).notes == []


def test_alpha_dropout_and_spectral_norm_are_said() -> None:
    linear = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6))
    notes = load(nn.Sequential(linear, nn.AlphaDropout(0.2)), (ROWS,)).notes
    assert any("alpha dropout" in note and note.startswith("1") for note in notes)
    assert any("power iteration" in note for note in notes)


def test_no_grad_is_inlined_and_said() -> None:
    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                y = self.first(x)
            with torch.autocast("cpu", enabled=False):
                return self.second(y)

    module = Part().eval()
    graph = load(module, (ROWS,))
    assert_equal(graph.module().eval()(ROWS), module(ROWS), 1e-6)
    assert any("no_grad" in note for note in graph.notes)


def test_a_region_of_lower_precision_is_refused() -> None:
    class Lower(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return x @ x.T

    with pytest.raises(Unsupported, match="autocast"):
        load(Lower(), (ROWS,))


def test_random_numbers_in_inference_are_refused() -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.randn_like(x)

    with pytest.raises(Unsupported, match="draws random numbers in inference"):
        load(Noisy(), (ROWS,))


def test_layers_that_are_subclassed_train_as_layers_do() -> None:
    class Norm(nn.BatchNorm2d):
        pass

    class Drop(nn.Dropout):
        pass

    graph = load(nn.Sequential(Norm(3, momentum=0.3), Drop(0.2)), (IMAGE,))
    norm, drop = (node.op for node in graph.nodes)
    assert isinstance(norm, ops.BatchNorm) and not norm.frozen and norm.momentum == 0.3
    assert isinstance(drop, ops.Dropout) and graph.nodes[0].optional(5) is graph.state["0.num_batches_tracked"]


class Straight(torch.autograd.Function):
    """Rounds, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def test_a_gradient_of_the_models_own_is_said() -> None:
    class Binary(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Straight.apply(x)

    assert any("the gradient that 'Straight' defines" in note for note in load(Binary(), (ROWS,)).notes)


def test_a_parameter_that_is_not_registered_is_said() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factors = [nn.Parameter(torch.ones(6))]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factors[0]

    graph = load(Listed(), (ROWS,))
    assert any("'factors' is a plain list" in note for note in graph.notes) and graph.parameters == 0


def test_recomputed_regions_are_the_regions_themselves() -> None:
    from torch.utils.checkpoint import checkpoint

    class Recomputed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = checkpoint(self.layer, x, use_reentrant=False)
            return torch.relu(y)

    assert [node.op.name for node in load(Recomputed(), (ROWS,)).nodes] == ["linear", "relu"]
