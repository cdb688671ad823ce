"""A network made anew has torch's own initial distributions, depends on its seed alone, and leaves the given one as it is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.train.fresh import untrained


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.position = nn.Parameter(torch.randn(1, 8, 16) * 0.02 + 3.0)
        self.lstm = nn.LSTM(16, 25, batch_first=True)
        self.norm = nn.LayerNorm(25)
        self.conv = nn.Conv1d(25, 40, 3)
        self.batch = nn.BatchNorm1d(40)
        self.linear = nn.Linear(40, 25)
        self.tied = nn.Linear(25, 25)
        self.head = nn.Linear(25, 25)
        self.head.weight = self.tied.weight

    def forward(self, ids: Tensor) -> Tensor:
        y = self.norm(self.lstm(self.embedding(ids) + self.position)[0])
        y = self.batch(self.conv(y.transpose(1, 2))).mean(2)
        return self.head(self.tied(self.linear(y)))


def trained() -> Graph:
    """With values that no initial distribution has."""
    torch.manual_seed(0)
    module = Mixed()
    with torch.no_grad():
        for parameter in (p for name, p in module.named_parameters() if name != "position"):
            parameter.copy_(torch.randn_like(parameter) * 7 + 5)
        module.batch.running_mean.fill_(4.0)  # type: ignore[operator, union-attr]
        module.batch.running_var.fill_(9.0)  # type: ignore[operator, union-attr]
        module.batch.num_batches_tracked.fill_(100)  # type: ignore[operator, union-attr]
    return load(module, example_inputs=(torch.zeros(2, 8, dtype=torch.long),))


def test_every_layer_has_the_distribution_of_torchs_own() -> None:
    graph = trained()
    before = {name: copy.deepcopy(value.tensor) for name, value in graph.state.items()}
    state = {name: value.tensor.detach() for name, value in untrained(graph, 3).state.items()}
    for name, bound in {
        "lstm.weight_ih_l0": 25**-0.5,
        "lstm.bias_hh_l0": 25**-0.5,
        "conv.weight": 75**-0.5,
        "conv.bias": 75**-0.5,
        "linear.weight": 40**-0.5,
        "linear.bias": 40**-0.5,
        "tied.weight": 25**-0.5,
    }.items():
        assert float(state[name].abs().max()) <= bound < 1.25 * float(state[name].abs().max()), name
        assert abs(float(state[name].mean())) < 0.35 * bound, name
    assert abs(float(state["embedding.weight"].std()) - 1) < 0.1
    assert abs(float(state["position"].mean()) - 3) < 0.01 and float(state["position"].std()) < 0.03
    assert (state["norm.weight"] == 1).all() and (state["norm.bias"] == 0).all()
    assert (state["batch.weight"] == 1).all() and (state["batch.running_mean"] == 0).all()
    assert (state["batch.running_var"] == 1).all() and int(state["batch.num_batches_tracked"]) == 0
    assert all(torch.equal(before[name], value.tensor) for name, value in graph.state.items())


def test_ties_stay_and_the_seed_decides() -> None:
    graph = trained()
    first, again, other = untrained(graph, 1), untrained(graph, 1), untrained(graph, 2)
    assert first.state["tied.weight"] is first.state["head.weight"]
    assert all(torch.equal(first.state[name].tensor, again.state[name].tensor) for name in first.state)
    assert not torch.equal(first.state["conv.weight"].tensor, other.state["conv.weight"].tensor)
    assert first.module()(torch.zeros(3, 8, dtype=torch.long)).shape == (3, 25)
