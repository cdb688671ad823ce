"""Weights share few values, zeros stay zeros, and the values are trained by the sum of their members' gradients."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.cluster.codebooks import codebook_of
from edgekit.compress.cluster.kmeans import kmeans
from edgekit.compress.cluster.sharing import Sharing
from edgekit.compress.context import Context
from edgekit.compress.steps import parse_steps
from edgekit.ir import Graph
from tests.train.networks import blobs, digits, graph_of, same, tensors

torch.set_num_threads(1)
NAMES = ["conv.weight", "head.weight"]
TRAINING = ek.Training(batch_size=32, lr=0.01, optimizer="sgd", weight_decay=0.0, validation=0.0)


def values(graph: Graph, name: str) -> np.ndarray:  # type: ignore[type-arg]
    return np.unique(graph.state[name].tensor.detach().numpy())


def test_every_layer_has_its_codebook_and_the_graph_stays_as_it_was() -> None:
    graph = digits()
    copies = {name: tensor.clone() for name, tensor in tensors(graph).items()}
    small = ek.Cluster(bits=3, layers={"conv": 1}).apply(graph)
    assert same(graph, graph) and all(torch.equal(tensors(graph)[name], tensor) for name, tensor in copies.items())
    assert len(values(small, "conv.weight")) == 2
    assert len(values(small, "head.weight")) == 8
    books = small.history[0].details["codebooks"]
    assert [books[name]["values"] for name in NAMES] == [2, 8] and books["conv.weight"]["bits"] == 1
    now, before = small.state["head.weight"].tensor.detach(), copies["head.weight"]
    assert books["head.weight"]["rms_error"] == pytest.approx(float((now - before).square().mean().sqrt()), rel=1e-5)
    assert 0 < books["head.weight"]["relative_error"] < 0.3
    assert torch.equal(small.state["head.bias"].tensor, copies["head.bias"])


def test_the_values_are_those_that_k_means_finds_from_a_linear_start() -> None:
    rng = np.random.default_rng(0)
    data = np.concatenate([rng.normal(-1, 0.05, 50), rng.normal(0.5, 0.05, 40), rng.normal(2, 0.05, 3)])
    centroids, labels = kmeans(data, 3)
    np.testing.assert_allclose(centroids, [data[:50].mean(), data[50:90].mean(), data[90:].mean()])
    assert labels.tolist() == [0] * 50 + [1] * 40 + [2] * 3
    from sklearn.cluster import KMeans

    wide = rng.standard_normal(400)
    start = np.linspace(wide.min(), wide.max(), 8).reshape(-1, 1)
    oracle = KMeans(8, init=start, n_init=1, max_iter=300, tol=0).fit(wide.reshape(-1, 1))
    np.testing.assert_allclose(np.sort(kmeans(wide, 8)[0]), np.sort(oracle.cluster_centers_.ravel()), atol=1e-9)


def test_few_distinct_weights_stay_as_they_are() -> None:
    centroids, labels = kmeans(np.array([0.5, -1.0, 0.5, 3.0]), 4)
    assert centroids.tolist() == [-1.0, 0.5, 3.0] and labels.tolist() == [1, 0, 1, 2]


def test_zeros_belong_to_no_cluster_and_stay() -> None:
    sparse = ek.Sparsify(sparsity=0.75).apply(digits())
    small = ek.Cluster(bits=2, epochs=2, training=TRAINING).apply(sparse, ek.Data(train=blobs()))
    for name in NAMES:
        before, after = sparse.state[name].tensor == 0, small.state[name].tensor == 0
        assert torch.equal(before, after)
        assert len(values(small, name)) <= 5
    assert len(values(small, "head.weight")) == 5
    assert small.history[-1].details["zeros"] == sparse.history[0].details["zeros"]


def test_a_value_moves_by_the_sum_of_its_members_gradients() -> None:
    """One step of plain gradient descent, beside torch's own derivative with respect to the codebook."""
    graph = copy.deepcopy(ek.Sparsify(sparsity=0.5).apply(digits()))
    weight = graph.state["head.weight"]
    book = codebook_of(weight, 2, ek.Cluster(bits=2))
    rule = Sharing(graph, {"head.weight": book})
    x, y = (torch.from_numpy(a) for a in blobs(32))
    module = graph.module().eval()  # no dropout
    loss = nn.functional.cross_entropy(module(x), y)
    loss.backward()
    codebook = torch.cat((book.values.float(), torch.zeros(1))).requires_grad_()
    shared = codebook[torch.where(book.labels >= 0, book.labels, book.distinct)]
    ours = dict(module.named_parameters()) | {"head.weight": shared}
    nn.functional.cross_entropy(torch.func.functional_call(module, ours, (x,)), y).backward()
    wanted = codebook.grad
    assert wanted is not None
    rule.gradients()
    given = weight.tensor.grad
    assert given is not None
    for label in range(book.distinct):
        members = given[book.labels == label]
        assert bool((members == members[0]).all())
        torch.testing.assert_close(members[0], wanted[label], rtol=1e-4, atol=1e-7)
    assert not bool(given[book.labels < 0].any())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_moves_the_values_and_keeps_them_shared(optimizer: str) -> None:
    how = ek.Training(batch_size=16, lr=0.003, optimizer=optimizer, weight_decay=0.0, validation=0.0)
    data = ek.Data(train=blobs(), evaluate=blobs(seed=1))
    trained = ek.FineTune(epochs=10, batch_size=16, lr=0.02).apply(digits(), data)
    rough = ek.Cluster(bits=1).apply(trained)
    tuned = ek.Cluster(bits=1, epochs=6, training=how).apply(trained, data)
    assert all(len(values(tuned, name)) == 2 for name in NAMES)
    assert not np.allclose(values(rough, "head.weight"), values(tuned, "head.weight"), rtol=1e-3)
    rows = tuned.history[-1].details["epochs"]
    assert rows[-1]["terms"]["loss"] < rows[0]["terms"]["loss"] if "loss" in rows[0]["terms"] else True


def test_what_its_training_notes_stands_in_its_record() -> None:
    data, distillation = ek.Data(train=blobs(64)), ek.Distillation()
    step = ek.Cluster(bits=2, epochs=1, training=TRAINING, distillation=distillation)
    small = step.apply(digits(), data, context=Context(source=digits()))
    assert any("'source' was not compared with its student" in note for note in small.history[-1].notes)


def test_a_codebook_for_each_channel() -> None:
    small = ek.Cluster(bits=2, scope="channel").apply(digits())
    weight = small.state["head.weight"].tensor.detach()
    assert all(len(torch.unique(row)) <= 4 for row in weight) and len(torch.unique(weight)) > 4


def test_values_have_so_many_binary_digits_and_biases_share_theirs_too() -> None:
    small = ek.Cluster(bits=3, significant=8, biases=1).apply(digits())
    for name in [*NAMES, "head.bias"]:
        words = small.state[name].tensor.detach().numpy().view(np.uint32)
        assert not (words & 0xFFFF).any()
    assert len(values(small, "head.bias")) == 2


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * 64, 4)
        with torch.no_grad():
            self.bn.weight.copy_(torch.linspace(0.3, 2, 6))
            self.bn.running_var.copy_(torch.linspace(0.5, 3, 6))  # type: ignore[union-attr]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.bn(self.conv(x))).flatten(1))


@pytest.mark.parametrize("epochs", [0, 2])
def test_an_int8_file_has_no_more_values_than_the_codebook(epochs: int, tmp_path: Path) -> None:
    """With a scale for each channel, and behind a batch norm that multiplies every channel by another factor."""
    torch.manual_seed(0)
    graph = graph_of(Normed(), (1, 1, 8, 8))
    x, y = blobs()
    data = ek.Data(train=(x, y))
    sparse = ek.Sparsify(sparsity=0.5, keep=("head",)).apply(graph)
    how = {"training": TRAINING} if epochs else {}
    small = ek.Cluster(bits=3, grid="int8", epochs=epochs, **how).apply(sparse, data)  # type: ignore[arg-type]
    assert small.history[-1].details["folded"] == 1
    assert not any("bn" in name for name in small.state)
    built = ek.build(small, "tflite-int8", calibration=x[:64], output=tmp_path, name="net")
    arrays = {a.size: a for a in _constants(Path(built.artifact)) if a.dtype == np.int8}
    assert len(np.unique(arrays[54])) <= 9 and len(np.unique(arrays[4 * 384])) <= 9
    assert (arrays[54] == 0).sum() >= 27


def _constants(path: Path) -> list[np.ndarray]:  # type: ignore[type-arg]
    from edgekit.formats.tflite.read import read

    return [t.array() for t in read(path.read_bytes()).main.tensors if t.data is not None and len(t.shape) > 1]


def test_folding_keeps_the_function_that_is_clustered() -> None:
    torch.manual_seed(0)
    graph = graph_of(Normed(), (1, 1, 8, 8))
    small = ek.Cluster(bits=8, significant=24, keep=("head",)).apply(graph)
    x = torch.from_numpy(blobs(8)[0])
    torch.testing.assert_close(small.module().eval()(x), graph.module().eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("assignment", ["fixed", "trained"])
def test_a_training_that_was_killed_ends_as_if_it_had_not_been(assignment: str, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    told: list[str] = []

    def killer(line: str) -> None:
        told.append(line)
        if len(told) == 2:
            raise Killed

    recipe = ek.Recipe([ek.Cluster(bits=2, epochs=3, training=TRAINING, assignment=assignment)])
    data = ek.Data(train=blobs())
    undisturbed = recipe.apply(digits(), data)
    with pytest.raises(Killed):
        recipe.apply(digits(), data, folder=tmp_path, say=killer)
    assert same(recipe.apply(digits(), data, folder=tmp_path), undisturbed)


def test_the_step_reads_and_writes_as_a_recipe() -> None:
    table = {"step": "cluster", "bits": 5, "layers": {"conv": 8}, "grid": "int8", "epochs": 1, "keep": ["head"]}
    (step,) = parse_steps([table], None)
    assert step == ek.Cluster(bits=5, layers={"conv": 8}, grid="int8", epochs=1, keep=("head",))
    assert {"step": "cluster", **step.options()} == table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 9}, "from 1 to 8"),
        ({"layers": {"conv": 0}}, "'conv' is a whole number"),
        ({"grid": "int4"}, "unknown grid"),
        ({"scope": "tensor"}, "unknown scope"),
        ({"biases": 9}, "'biases'"),
        ({"significant": 3}, "'significant'"),
        ({"training": ek.Training()}, "'training' is for"),
        ({"epochs": -1}, "'epochs'"),
        ({"assignment": "free"}, "unknown assignment"),
        ({"assignment": "trained"}, "'epochs' is 0"),
        ({"assignment": "trained", "epochs": 1, "scope": "channel"}, "values of a whole layer"),
        ({"assignment": "trained", "epochs": 1, "grid": "int8"}, "end of an integer grid"),
    ],
)
def test_what_can_not_be_is_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(ek.UsageError, match=message):
        ek.Cluster(**options)  # type: ignore[arg-type]


def test_a_name_that_is_no_weight_is_refused_with_the_nearest() -> None:
    with pytest.raises(ek.UsageError, match="'convv'") as caught:
        ek.Cluster(layers={"convv": 2}).apply(digits())
    assert "conv" in (caught.value.hint or "")


def test_a_quantised_graph_is_refused() -> None:
    graph = digits().copy()
    graph.nodes[0].output.quant = ek.QuantParams("int8", (0.1,), (0,))
    with pytest.raises(ek.Unsupported, match="quantised") as caught:
        ek.Cluster().apply(graph)
    assert "quantise afterwards" in (caught.value.hint or "")
