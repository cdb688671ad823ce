"""Weights of least magnitude become zero, stay zero, and are zero in the artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.sparsify.ranking import masks
from edgekit.compress.sparsify.size import compressed_sizes
from edgekit.compress.steps import parse_steps
from edgekit.ir import Graph
from tests.train.networks import blobs, digits, graph_of, same, tensors

torch.set_num_threads(1)
TRAINING = ek.Training(batch_size=32, lr=0.01)
NAMES = ["conv.weight", "head.weight"]


def zeros(graph: Graph, name: str) -> int:
    return int((graph.state[name].tensor == 0).sum())


def test_each_layer_loses_its_smallest_weights_and_nothing_else_changes() -> None:
    graph = digits()
    given = tensors(graph)
    copies = {name: tensor.clone() for name, tensor in given.items()}
    sparse = ek.Sparsify(sparsity=0.75).apply(graph)
    assert all(torch.equal(given[name], tensor) for name, tensor in copies.items())
    for name, value in graph.state.items():
        before, after = value.tensor.detach().numpy(), sparse.state[name].tensor.detach().numpy()
        if name not in NAMES:
            np.testing.assert_array_equal(before, after)
            continue
        border = np.sort(np.abs(before).ravel())[round(0.75 * before.size)]
        np.testing.assert_array_equal(after, np.where(np.abs(before) >= border, before, 0))
    record = sparse.history[0]
    assert record.details["zeros"] == {"conv.weight": [40, 54], "head.weight": [288, 384]}
    assert record.details["zeros_before"] == {"conv.weight": [0, 54], "head.weight": [0, 384]}
    assert record.macs == (graph.macs, graph.macs)
    assert record.weight_bytes[0] == record.weight_bytes[1]
    assert "no dense kernel faster" in record.warnings[0]


def test_a_global_ranking_takes_the_smallest_of_all() -> None:
    graph = digits()
    sparse = ek.Sparsify(sparsity=0.5, scope="global").apply(graph)
    every = np.concatenate([graph.state[name].tensor.detach().numpy().ravel() for name in NAMES])
    left = np.concatenate([sparse.state[name].tensor.detach().numpy().ravel() for name in NAMES])
    border = np.sort(np.abs(every))[round(0.5 * every.size)]
    np.testing.assert_array_equal(left, np.where(np.abs(every) >= border, every, 0))
    assert zeros(sparse, "conv.weight") / 54 != pytest.approx(zeros(sparse, "head.weight") / 384, abs=0.02)


def test_rounds_follow_the_cubic_schedule_and_zeros_are_never_trained_away() -> None:
    step = ek.Sparsify(sparsity=0.9, initial=0.1, rounds=4, epochs=2, training=TRAINING)
    sparse = step.apply(digits(), ek.Data(train=blobs()))
    record = sparse.history[0]
    wanted = [0.9 - 0.8 * (1 - t / 4) ** 3 for t in (1, 2, 3, 4)]
    assert [row["sparsity"] for row in record.details["rounds"]] == pytest.approx(wanted, abs=0.01)
    assert record.details["zeros"]["head.weight"] == [346, 384] and zeros(sparse, "head.weight") == 346
    assert [len(row["epochs"]) for row in record.details["rounds"]] == [2] * 4
    assert record.details["rounds"][-1]["epochs"][-1]["training"]["top1"] > 0.8


def test_with_neighbours_a_layer_keeps_as_many_weights_but_those_among_large_ones() -> None:
    """Beside the means of all 3 x 3 places in numpy, for a convolution and for a linear layer behind a reshape."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 6, 5, padding=2), nn.Flatten(), nn.Linear(6 * 64, 40), nn.ReLU(), nn.Linear(40, 4))
    graph = graph_of(nn.Sequential(*layers), (1, 1, 8, 8))
    alone = ek.Sparsify(sparsity=0.6, scope="global").apply(graph)
    together = ek.Sparsify(sparsity=0.6, scope="global", neighbours=1.5).apply(graph)
    for name, height in (("0.weight", 5), ("2.weight", 8), ("4.weight", 0)):
        assert zeros(alone, name) == zeros(together, name)
        given, left = graph.state[name].tensor.detach().double().abs(), together.state[name].tensor != 0
        if not height:
            assert torch.equal(left, alone.state[name].tensor != 0)
            continue
        images = given.reshape(-1, height, height).numpy()
        means = np.empty_like(images)
        for i, j in np.ndindex(height, height):
            means[:, i, j] = images[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean((1, 2))
        scores = (images * (means + 0.1 * means.mean()) ** 1.5).ravel()
        border = np.sort(scores)[zeros(together, name)]
        np.testing.assert_array_equal(left.numpy().ravel(), scores >= border)
        assert (left != (alone.state[name].tensor != 0)).any()
    assert together.history[0].notes[-1].endswith("in 4.weight") and not alone.history[0].notes


def test_with_neighbours_nothing_comes_back_in_later_rounds() -> None:
    step = ek.Sparsify(sparsity=0.8, initial=0.5, rounds=2, neighbours=1.0)
    first = ek.Sparsify(sparsity=0.5, neighbours=1.0).apply(digits())
    assert not bool((step.apply(first).state["head.weight"].tensor[first.state["head.weight"].tensor == 0] != 0).any())


def test_what_is_dead_goes_first_even_where_all_else_is_smaller() -> None:
    weight, dead = torch.tensor([3.0, -0.1, 2.0, 0.0]), torch.tensor([True, False, False, False])
    alive = masks({"w": weight}, 0.5, over_all=False, dead={"w": dead})["w"]
    assert alive.tolist() == [False, True, True, False]
    assert masks({"w": weight}, 0.0, over_all=True, dead={"w": dead})["w"].tolist() == [False, True, True, True]


def test_later_trainings_of_a_recipe_leave_the_zeros_alone_and_it_is_measured(tmp_path: Path) -> None:
    recipe = ek.Recipe([ek.Sparsify(sparsity=0.8), ek.FineTune(epochs=12, batch_size=16, lr=0.02)])
    data = ek.Data(train=blobs(), evaluate=blobs(seed=1))
    small = recipe.apply(digits(), data, folder=tmp_path)
    assert zeros(small, "head.weight") == 307
    first, second = small.history
    assert first.metrics["top1"][1] == second.metrics["top1"][0]
    assert second.metrics["top1"][1] > 0.8
    small.save(tmp_path / "kept.ekg")
    loaded = ek.load(tmp_path / "kept.ekg")
    again = ek.FineTune(epochs=1, batch_size=32, lr=0.01).apply(loaded, data)
    assert zeros(again, "head.weight") == 307


def test_a_step_killed_in_a_round_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    told: list[str] = []

    def killer(line: str) -> None:
        told.append(line)
        if len(told) == 4:
            raise Killed

    recipe = ek.Recipe([ek.Sparsify(sparsity=0.8, rounds=2, epochs=2, training=TRAINING)])
    data = ek.Data(train=blobs())
    undisturbed = recipe.apply(digits(), data)
    with pytest.raises(Killed):
        recipe.apply(digits(), data, folder=tmp_path, say=killer)
    assert same(recipe.apply(digits(), data, folder=tmp_path), undisturbed)


@pytest.mark.parametrize("target", ["tflite-int8", "tflite-fp32"])
def test_zeros_are_exact_zeros_in_the_file(target: str, tmp_path: Path) -> None:
    x, y = blobs()
    sparse = ek.Sparsify(sparsity=0.8, epochs=1, training=TRAINING).apply(digits(), ek.Data(train=(x, y)))
    built = ek.build(sparse, target, calibration=x[:64], output=tmp_path, name="net")
    arrays = weights_of(Path(built.artifact))
    by_size = {array.size: int((array == 0).sum()) for array in arrays}
    assert by_size[54] >= 43 and by_size[384] >= 307
    assert by_size[54] < 54 and by_size[384] < 384


def weights_of(path: Path) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Constants of a file, as LiteRT reads them."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    interpreter.allocate_tensors()
    found = {}
    for tensor in interpreter.get_tensor_details():
        try:
            found[tensor["index"]] = interpreter.get_tensor(tensor["index"])
        except ValueError:  # no data: an activation
            continue
    return [array for array in found.values() if array.ndim > 1]


def test_norms_biases_embeddings_and_tied_tables_are_left_alone_and_named() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(11, 8)
            self.norm = nn.LayerNorm([4, 8])
            self.rnn = nn.GRU(8, 8, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(self.norm(self.table(x)))[0][:, -1])

    graph = ek.load(Net(), (torch.zeros(1, 4, dtype=torch.long),))
    record = ek.Sparsify(sparsity=0.5).apply(graph).history[0]
    assert set(record.details["zeros"]) == {"rnn.weight_ih_l0", "rnn.weight_hh_l0", "head.weight"}
    assert set(record.declined) == {"table.weight", "norm.weight", "norm.bias"}


def test_layers_and_keep_choose_by_name_or_module() -> None:
    kept = ek.Sparsify(sparsity=0.5, keep=("head",)).apply(digits())
    assert (zeros(kept, "head.weight"), zeros(kept, "conv.weight")) == (0, 27)
    assert kept.history[0].declined == {"head.weight": "'keep' names 'head'"}
    only = ek.Sparsify(sparsity=0.5, layers=("head.weight",)).apply(digits())
    assert (zeros(only, "head.weight"), zeros(only, "conv.weight")) == (192, 0)
    with pytest.raises(ek.UsageError, match="'heat', which is not a weight"):
        ek.Sparsify(sparsity=0.5, keep=("heat",)).apply(digits())
    with pytest.raises(ek.UsageError, match="no weight to set to zero"):
        ek.Sparsify(sparsity=0.5, keep=("head", "conv")).apply(digits())


def test_a_layer_that_lost_everything_is_pointed_out() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with torch.no_grad():
        net[0].weight.mul_(1e-4)
    record = ek.Sparsify(sparsity=0.5, scope="global").apply(graph_of(net, (1, 4))).history[0]
    assert "no weight is left in 0.weight" in record.warnings[1]


def test_sizes_are_those_of_shannon_and_fall_with_the_zeros() -> None:
    fair = torch.tensor([127.0, -127.0] * 64)
    assert compressed_sizes([fair])["entropy_int8"] == 16  # 128 values of one bit each
    assert compressed_sizes([torch.zeros(128)])["entropy_int8"] == 0
    details = ek.Sparsify(sparsity=0.9).apply(digits()).history[0].details
    before, after = details["compressed_bytes_before"], details["compressed_bytes"]
    assert before["float"] == after["float"] == 4 * 438
    for name in ("gzip", "gzip_int8", "entropy_int8"):
        assert after[name] < 0.5 * before[name]


def test_it_stands_in_a_recipe_by_its_name() -> None:
    (step,) = parse_steps([{"step": "sparsify", "sparsity": 0.9, "rounds": 2, "epochs": 1, "keep": ["head"]}], None)
    assert step == ek.Sparsify(sparsity=0.9, rounds=2, epochs=1, keep=("head",))
    assert step.options() == {"sparsity": 0.9, "rounds": 2, "epochs": 1, "keep": ["head"]}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sparsity": 1.0}, "from 0 to below 1"),
        ({"sparsity": float("nan")}, "from 0 to below 1"),
        ({"initial": 0.9}, "'initial' is a share"),
        ({"neighbours": -1.0}, "'neighbours'"),
        ({"scope": "locally"}, "unknown scope"),
        ({"rounds": 0}, "'rounds' is a whole number from 1"),
        ({"epochs": -1}, "'epochs' is a whole number from 0"),
        ({"training": TRAINING}, "for the training after each round"),
    ],
)
def test_a_wrong_option_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ek.UsageError, match=says):
        ek.Sparsify(**{"sparsity": 0.5, **wrong})  # type: ignore[arg-type]
