"""What data improves: fits are the least-squares solution, means go into biases, and nothing gets worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import UsageError
from edgekit.compress.context import Context
from edgekit.compress.low_rank import LowRank
from edgekit.compress.rewriting.patches import patches, positions
from edgekit.compress.separable import Separable
from edgekit.frontend.source import load
from edgekit.ir import ops
from tests.compress.rewriting.networks import CONVOLUTIONS, cnn, loaded, outputs

torch.set_num_threads(1)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_patches_times_the_weight_are_the_convolution(name: str) -> None:
    op, shape, size = CONVOLUTIONS[name]
    op = op.with_(activation="none")
    x, weight = torch.randn(2, *size), torch.randn(shape)
    y = op.run(x, weight)
    assert isinstance(y, torch.Tensor)
    picks = torch.arange(positions(x, op, shape[2:]))
    rows = patches(x, op, shape[2:], picks) @ weight.double().flatten(1).T
    torch.testing.assert_close(rows, y.double().movedim(1, -1).reshape(-1, shape[0]), atol=1e-4, rtol=1e-4)


def data_of(count: int = 300) -> torch.Tensor:
    torch.manual_seed(1)
    mix = torch.randn(20, 20) * torch.logspace(0, -1.5, 20)
    return torch.randn(count, 20) @ mix + torch.randn(20)


def test_a_fitted_factor_is_the_least_squares_solution() -> None:
    torch.manual_seed(0)
    net, x = nn.Linear(20, 16), data_of(2000)
    graph = load(net, (x[:1],))
    small = LowRank(rank=4, method="svd", refit=True, judge="weights").apply(graph, x.numpy())
    down = small.state["down.weight"].tensor.detach().double()
    x = x[:512].double()
    z = torch.cat([x @ down.T, torch.ones(len(x), 1)], 1)
    y = x @ net.weight.detach().double().T + net.bias.detach().double()
    rows = torch.arange(len(x)) % 5 != 4  # the others are held out
    best = torch.linalg.lstsq(z[rows], y[rows]).solution
    got = outputs(small, x.float()).double()
    least, fitted = (y - z @ best)[rows].norm(), (y - got)[rows].norm()
    assert fitted <= 1.001 * least
    plain = LowRank(rank=4, method="svd").apply(graph)
    assert fitted < 0.9 * (y - outputs(plain, x.float()).double())[rows].norm()


def test_absorbing_takes_the_mean_error_out_of_the_outputs() -> None:
    torch.manual_seed(0)
    net, x = nn.Linear(20, 16), data_of(512)
    graph = load(net, (x[:1],))
    plain = LowRank(rank=3, method="svd").apply(graph)
    moved = LowRank(rank=3, method="svd", absorb=True, judge="weights").apply(graph, x.numpy())
    assert torch.equal(moved.state["up.weight"].tensor, plain.state["up.weight"].tensor)
    errors = [(outputs(g, x) - outputs(graph, x)).mean(0).norm() for g in (plain, moved)]
    assert errors[1] < 0.2 * errors[0]


def test_without_a_bias_the_mean_of_the_norm_behind_moves() -> None:
    graph = cnn()
    x = (torch.randn(256, 3, 8, 8) + 1).numpy()
    small = Separable(multiplier=1, absorb=True, layers=("stem",)).apply(graph, x)
    assert not torch.equal(small.state["stem.1.running_mean"].tensor, graph.state["stem.1.running_mean"].tensor)
    row = small.history[-1].details["layers"]["stem.0.weight"]
    before, after = row["output_error_fitted"]
    assert after < before


def test_a_layer_without_a_bias_or_norm_is_fitted_without_one() -> None:
    net = nn.Sequential(nn.Conv2d(8, 8, 3, bias=False), nn.ReLU())
    graph = loaded(net, 8, 9, 9)
    x = torch.randn(128, 8, 9, 9).numpy()
    record = Separable(multiplier=1, refit=True).apply(graph, x).history[-1]
    before, after = record.details["layers"]["0.weight"]["output_error_fitted"]
    assert after <= before
    assert record.parameters[1] == 8 * 9 + 64


@pytest.mark.parametrize("step", [Separable(multiplier=1, refit=True), LowRank(error=0.6, refit=True)])
def test_fitting_brings_the_networks_outputs_closer(step: Separable | LowRank) -> None:
    graph = cnn()
    torch.manual_seed(0)
    x = torch.randn(256, 3, 8, 8).cumsum(2).cumsum(3) / 8
    plain = type(step)(**{**step.options(), "refit": False}).apply(graph, x.numpy())
    fitted = step.apply(graph, x.numpy())
    y = outputs(graph, x)
    assert (outputs(fitted, x) - y).norm() < (outputs(plain, x) - y).norm()


def test_a_layer_called_twice_is_not_fitted_and_named() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(torch.relu(self.fc(x)))  # type: ignore[no-any-return]

    record = LowRank(rank=3, method="svd", refit=True).apply(loaded(Twice(), 16), np.ones((64, 16), np.float32)).history[-1]
    assert record.details["not_fitted"] == {"fc.weight": "it is called several times"}


def test_data_that_an_option_needs_is_asked_for() -> None:
    with pytest.raises(UsageError, match="needs data"):
        Separable(multiplier=1, refit=True).apply(cnn())
    with pytest.raises(UsageError, match="needs data"):
        LowRank(error=0.5, judge="outputs").apply(cnn())


def test_a_random_start_has_the_same_shapes_and_size_and_repeats() -> None:
    graph = cnn()
    svd = Separable(multiplier=1).apply(graph)
    one, two = (Separable(multiplier=1, init="random", seed=3).apply(graph) for _ in range(2))
    for name, value in svd.state.items():
        assert value.type == one.state[name].type
        assert torch.equal(one.state[name].tensor, two.state[name].tensor)
    rows = one.history[-1].details["layers"].values()
    assert all(row["error"] > 1 for row in rows)
    assert not any(isinstance(node.op, ops.Dropout) for node in one.nodes)


def test_data_from_a_callable_is_imported_from_the_recipes_folder(tmp_path: Path) -> None:
    (tmp_path / "rewriting_feed.py").write_text(
        "import numpy as np\ndef train():\n    return np.ones((64, 3, 8, 8), np.float32)\n"
    )
    small = Separable(multiplier=1, refit=True).apply(cnn(), "rewriting_feed:train", context=Context(root=tmp_path))
    assert small.history[-1].details["judged_by"] == "outputs"
