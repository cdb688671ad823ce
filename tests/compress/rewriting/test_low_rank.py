"""LowRank: exact at full rank, optimal below, cheaper by the formula, or left alone by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edgekit
from edgekit import UsageError
from edgekit.compress.low_rank import LowRank
from edgekit.compress.low_rank.matrix import MatrixSvd
from edgekit.compress.low_rank.tucker import Tucker2
from edgekit.compress.rewriting.layers import find_layers
from edgekit.ir import ops
from tests.compress.prune.masked import largest_difference
from tests.compress.rewriting.networks import CONVOLUTIONS, cnn, conv_graph, loaded, outputs
from tests.rewrites import random_inputs

torch.set_num_threads(1)

FULL = 10_000


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("method", ["svd", "tucker2", "spatial_svd"])
def test_full_rank_is_exact(name: str, method: str) -> None:
    graph = conv_graph(name, norm=name == "strides")
    small = LowRank(rank=FULL, method=method, allow_dearer=True).apply(graph)
    if method == "spatial_svd" and name.startswith("1-D"):
        assert small.history[-1].declined["conv.weight"] == "it has no two spatial axes"
        return
    assert small.history[-1].details["layers"]["conv.weight"]["error"] < 1e-6
    for x in random_inputs(graph, 2):
        assert largest_difference(outputs(graph, x), outputs(small, x)) < 1e-5


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("method", ["svd", "tucker2", "spatial_svd"])
def test_costs_by_formula_are_the_graphs_own(name: str, method: str) -> None:
    graph = conv_graph(name, bias=False)
    small = LowRank(rank=2, method=method, allow_dearer=True).apply(graph)
    for row in small.history[-1].details["layers"].values():
        assert row["macs"] == [graph.macs, small.macs] and row["parameters"] == [graph.parameters, small.parameters]


def test_linear_layers_are_cut_to_the_rank_that_the_singular_values_say() -> None:
    graph = loaded(nn.Linear(30, 20), 30)
    weight = graph.state["weight"].tensor.detach().double().numpy()
    small = LowRank(rank=4, method="svd").apply(graph)
    row = small.history[-1].details["layers"]["weight"]
    s = np.linalg.svd(weight, compute_uv=False)
    assert row["error"] == pytest.approx(float(((s[4:] ** 2).sum() / (s**2).sum()) ** 0.5), rel=1e-5)
    assert row["parameters"] == [600, 200] and list(small.state) == ["down.weight", "up.weight", "bias"]
    u, _, v = np.linalg.svd(weight, full_matrices=False)
    x = torch.randn(3, 30)
    wanted = x.double().numpy() @ ((u[:, :4] * s[:4]) @ v[:4]).T + graph.state["bias"].tensor.detach().numpy()
    np.testing.assert_allclose(outputs(small, x), wanted, atol=1e-5)


def test_linear_layers_inside_sequences_and_with_activations_work() -> None:
    graph = loaded(nn.Linear(30, 20), 7, 30)
    graph.set_op(graph.nodes[-1], ops.Linear(activation="relu"))
    small = LowRank(rank=FULL, method="svd", allow_dearer=True).apply(graph)
    x = torch.randn(2, 7, 30)
    assert largest_difference(outputs(graph, x), outputs(small, x)) < 1e-5
    assert small.macs == 7 * (30 * 20 + 20 * 20)


def test_tucker_is_no_worse_than_its_start_and_no_better_than_each_side_allows() -> None:
    graph = conv_graph("few outputs")
    (layer,), _ = find_layers(graph)
    weight = layer.dense.numpy()
    how = Tucker2(layer)
    s_out = np.linalg.svd(weight.reshape(2, -1), compute_uv=False)
    s_in = np.linalg.svd(weight.transpose(1, 0, 2, 3).reshape(32, -1), compute_uv=False)
    rank = (1, 5)
    start, end = how.error_of(how.draft(rank)), how.error_of(how.factors(rank))
    lost = [(s_out[1:] ** 2).sum(), (s_in[5:] ** 2).sum()]
    assert max(lost) ** 0.5 <= end * np.linalg.norm(weight) + 1e-9 and end < start
    assert start * np.linalg.norm(weight) <= sum(lost) ** 0.5 + 1e-9
    (known,) = [c for c in how.candidates("macs") if c.rank == rank] or [how.candidate(rank, start)]
    assert known.error == pytest.approx(start, rel=1e-6)


def test_no_candidate_of_tucker_is_both_dearer_and_less_close_than_another() -> None:
    (layer,), _ = find_layers(conv_graph("plain"))
    found = Tucker2(layer).candidates("parameters")
    assert [c.parameters for c in found] == sorted(c.parameters for c in found)
    assert [c.error for c in found] == sorted((c.error for c in found), reverse=True) and found[-1].error < 1e-6


def test_energy_keeps_the_lowest_rank_that_has_it() -> None:
    graph = loaded(nn.Linear(64, 48), 64)
    u, _, v = np.linalg.svd(np.random.default_rng(0).normal(size=(48, 64)), full_matrices=False)
    s = 0.7 ** np.arange(48)
    graph.state["weight"].data = nn.Parameter(torch.from_numpy((u * s) @ v).float())
    row = LowRank(energy=0.99).apply(graph).history[-1].details["layers"]["weight"]
    wanted = int(np.argmax(np.cumsum(s**2) / (s**2).sum() >= 0.99)) + 1
    assert row["rank"] == [wanted] and row["energy"] >= 0.99


def test_auto_takes_the_cheapest_at_equal_error() -> None:
    graph = cnn()
    bound = 0.6
    auto = LowRank(error=bound).apply(graph).history[-1].details["layers"]
    for method in ("svd", "tucker2", "spatial_svd"):
        alone = LowRank(error=bound, method=method).apply(graph).history[-1].details["layers"]
        assert all(auto[name]["macs"][1] <= row["macs"][1] for name, row in alone.items())
    assert all(row["error"] <= bound + 1e-6 for row in auto.values())


def test_ranks_are_multiples_of_the_simd_width() -> None:
    small = LowRank(error=0.8, round_to=4).apply(cnn())
    rows = small.history[-1].details["layers"].values()
    assert rows and all(r % 4 == 0 for row in rows for r in row["rank"])


def test_stride_and_padding_go_where_they_belong() -> None:
    graph = conv_graph("all at once")
    small = LowRank(rank=2, method="spatial_svd", allow_dearer=True).apply(graph)
    vertical, horizontal = (n.op for n in small.nodes)
    assert vertical == ops.Conv2d((2, 1), ((3, 0), (0, 0)), (1, 1)) and horizontal == ops.Conv2d(
        (1, 1), ((0, 0), (0, 2)), (1, 2)
    )
    small = LowRank(rank=2, method="tucker2", allow_dearer=True).apply(graph)
    assert [n.op for n in small.nodes] == [ops.Conv2d(), CONVOLUTIONS["all at once"][0], ops.Conv2d()]


def test_what_cannot_be_written_so_is_left_alone_by_name() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 16, batch_first=True)
            self.up = nn.ConvTranspose1d(16, 16, 3)
            self.mix = nn.Conv1d(16, 16, 3, groups=4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.mix(self.up(self.lstm(x)[0].transpose(1, 2)))  # type: ignore[no-any-return]

    declined = LowRank(error=0.5).apply(loaded(Net(), 12, 8)).history[-1].declined
    assert declined["lstm.weight_hh_l0"] == "it is a matrix inside one 'lstm'"
    assert declined["up.weight"] == "it is a transposed convolution"
    assert "it is a convolution in 4 groups" in declined["mix.weight"]


def test_what_would_cost_more_is_refused() -> None:
    graph = loaded(nn.Linear(10, 10), 10)
    record = LowRank(rank=0.5, method="svd").apply(graph).history[-1]
    assert record.declined["weight"].startswith("it would cost more: svd of rank 5 takes 100 parameters to 100")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "exactly one amount"),
        ({"rank": 2, "energy": 0.5, "method": "svd"}, "exactly one amount"),
        ({"energy": 0.0}, "above 0 to 1"),
        ({"energy": 0.5, "judge": "outputs"}, "of weights"),
        ({"rank": 2}, "needs a method"),
        ({"rank": 2.5, "method": "svd"}, "whole number"),
        ({"error": 0.5, "method": "cp"}, "unknown method"),
        ({"error": 0.5, "round_to": 0}, "from 1"),
    ],
)
def test_a_wrong_option_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        LowRank(**wrong)


def test_factors_of_a_pair_have_equal_norms() -> None:
    (layer,), _ = find_layers(conv_graph("plain"))
    down, up = MatrixSvd(layer).factors((3,))
    torch.testing.assert_close(down.flatten(1).norm(dim=1), up.flatten(1).norm(dim=0))


def test_a_weight_of_zeros_and_one_of_low_rank_are_rewritten_without_nan() -> None:
    graph = loaded(nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)), 8, 9, 9)
    graph.state["0.weight"].data = nn.Parameter(torch.zeros(8, 8, 3, 3))
    flat = torch.randn(8, 1) @ torch.randn(1, 72)
    graph.state["1.weight"].data = nn.Parameter(flat.reshape(8, 8, 3, 3))
    small = LowRank(energy=1.0).apply(graph)
    assert small.history[-1].details["layers"]["1.weight"]["rank"] in ([1], [1, 1])
    x = torch.randn(2, 8, 9, 9)
    assert largest_difference(outputs(graph, x), outputs(small, x)) < 1e-5


def test_the_step_is_public() -> None:
    assert edgekit.LowRank is LowRank


class Sequence(nn.Module):
    """A recurrent network of one kind over (B, T, I), or (T, B, I)."""

    def __init__(self, kind: str, twice: bool = False, **settings: Any) -> None:
        super().__init__()
        self.twice = twice
        self.rnn = getattr(nn, kind)(24, 24, **settings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.rnn(x)[0]
        return self.rnn(x)[0] if self.twice else x  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("LSTM", {"batch_first": True}),
        ("LSTM", {"batch_first": True, "num_layers": 2, "bidirectional": True}),
        ("GRU", {"batch_first": True, "bidirectional": True, "bias": False}),
        ("RNN", {"batch_first": True}),
        ("LSTM", {"batch_first": True, "twice": True}),
    ],
)
def test_the_input_matrices_of_recurrent_layers_become_thinner(kind: str, settings: dict[str, Any]) -> None:
    graph = loaded(Sequence(kind, **settings), 10, 24)
    x = torch.randn(3, 10, 24)
    exact = LowRank(energy=1.0, allow_dearer=True).apply(graph)
    assert largest_difference(outputs(graph, x), outputs(exact, x)) < 1e-5
    small = LowRank(rank=4, method="svd").apply(graph)
    (row,) = small.history[-1].details["layers"].values()
    directions, calls = 1 + settings.get("bidirectional", False), 1 + settings.get("twice", False)
    rows = directions * graph.state["rnn.weight_ih_l0"].tensor_shape[0]
    assert row["parameters"] == [24 * rows, 4 * (24 + rows)] and row["macs"] == [10 * calls * n for n in row["parameters"]]
    assert small.parameters - graph.parameters == row["parameters"][1] - row["parameters"][0]
    assert small.state["rnn.down.weight"].tensor_shape == (4, 24)
    assert small.state["rnn.weight_ih_l0"].tensor_shape == (rows // directions, 4)
    assert small.history[-1].declined["rnn.weight_hh_l0"] == f"it is a matrix inside one '{kind.lower()}'"
    assert small.state["rnn.weight_ih_l0"].name == graph.state["rnn.weight_ih_l0"].name
    loss = small.module().train()(x).square().sum()
    loss.backward()
    assert all(p.grad is not None for name, p in small.module().named_parameters() if "ih_l0" in name or "down" in name)


def test_recurrent_layers_are_judged_on_data_and_named_where_they_are_not_fitted(tmp_path: Any) -> None:
    graph = loaded(Sequence("LSTM", batch_first=True), 10, 24)
    x = torch.randn(32, 10, 24)
    small = LowRank(error=0.7, refit=True).apply(graph, x.numpy())
    (row,) = small.history[-1].details["layers"].values()
    assert 0 < row["output_error"] <= 0.7
    assert small.history[-1].details["not_fitted"] == {"rnn.weight_ih_l0": "it is the input matrix of one 'lstm'"}
    built = edgekit.build(small, target=["tflite-fp32", "onnx-fp32"], output=tmp_path, name="net")
    for one in built:
        got = torch.as_tensor(edgekit.run(one.artifact, x[:2].numpy()))
        assert largest_difference(outputs(small, x[:2]), got) < 1e-4
