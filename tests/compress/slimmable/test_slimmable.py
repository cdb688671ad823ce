"""Every width of a slimmable network is a network of its own, made of the first channels of the whole one."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import edgekit as ek
from edgekit import Unsupported, UsageError
from edgekit.compress.slimmable.application import _with_own_tensors
from edgekit.compress.slimmable.extraction import sizes_of
from edgekit.compress.slimmable.heads import AUTO, heads_of
from edgekit.compress.slimmable.nested import nest
from edgekit.compress.slimmable.objective import Sandwich
from edgekit.compress.slimmable.pace import Pace
from edgekit.compress.slimmable.size import Size
from edgekit.ir import Graph
from edgekit.ir.file import load as load_graph
from edgekit.train.objective import Fed, Pass
from edgekit.train.settings import Training
from edgekit.train.task_loss import TaskLoss
from tests.exits import network as network_with_exits
from tests.train.networks import blobs, graph_of

torch.set_num_threads(1)


class Residual(nn.Module):
    """A stem, a block with a shortcut, a block with a projection, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=2),
            nn.BatchNorm2d(8),
        )
        self.wider = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, stride=2), nn.BatchNorm2d(16))
        self.project = nn.Conv2d(8, 16, 1, stride=2)
        self.head = nn.Linear(16 * 16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.block(x))
        return self.head(torch.relu(self.wider(x) + self.project(x)).flatten(1))  # type: ignore[no-any-return]


def network() -> Graph:
    torch.manual_seed(0)
    return graph_of(Residual(), (2, 1, 8, 8))


def data(count: int = 400) -> ek.Data:
    return ek.Data(train=blobs(count), evaluate=blobs(200, seed=7))


STEP = ek.Slimmable(widths=(0.5, 1.0, 0.25), epochs=3, training=Training(optimizer="sgd", lr=0.05, batch_size=32))


@pytest.fixture(scope="module")
def slimmable() -> Graph:
    return STEP.apply(network(), data())


def test_every_width_is_an_ordinary_network_that_has_learned(slimmable: Graph) -> None:
    record = slimmable.history[-1]
    assert [row["width"] for row in record.details["sizes"]] == [1.0, 0.5, 0.25]
    assert [size.name for size in sizes_of(slimmable)] == ["1", "0.5", "0.25"]
    for row in record.details["sizes"]:
        small = ek.slimmed(slimmable, row["width"])
        assert small.macs == row["macs"] and small.parameters == row["parameters"]
        assert small.state["stem.0.weight"].tensor_shape[0] == 8 * row["width"]
        assert row["metrics"]["top1"] > 0.9 and row["held_out"]["top1"] > 0.8
        x, y = blobs(200, seed=7)
        with torch.no_grad():
            found = small.module().eval()(torch.from_numpy(x)).argmax(1).numpy()
        assert float((found == y).mean()) == pytest.approx(row["metrics"]["top1"])


def test_convolutions_are_the_first_channels_of_the_whole_and_batch_norms_are_not(slimmable: Graph) -> None:
    whole, half = slimmable.state, ek.slimmed(slimmable, 0.5).state
    kept = torch.tensor([0, 1, 4, 5])  # the first ones of both groups of the grouped convolution
    assert torch.equal(half["stem.0.weight"].tensor, whole["stem.0.weight"].tensor[kept])
    assert torch.equal(half["block.0.weight"].tensor, whole["block.0.weight"].tensor[kept][:, kept])
    assert torch.equal(half["block.3.weight"].tensor, whole["block.3.weight"].tensor[kept][:, :2])
    assert torch.equal(half["wider.0.weight"].tensor, whole["wider.0.weight"].tensor[:8][:, kept])
    assert torch.equal(half["head.weight"].tensor, whole["head.weight"].tensor[:, : 8 * 16])
    assert not torch.equal(half["block.1.running_mean"].tensor, whole["block.1.running_mean"].tensor[kept])
    assert not torch.equal(half["block.1.weight"].tensor, whole["block.1.weight"].tensor[kept])


def test_the_whole_network_keeps_its_parameters_names_and_count(slimmable: Graph) -> None:
    before = network()
    assert slimmable.parameters == before.parameters and slimmable.macs == before.macs
    assert ek.slimmed(slimmable, 1.0).state.keys() == before.state.keys() == ek.slimmed(slimmable, 0.25).state.keys()


def test_widths_survive_a_file(slimmable: Graph, tmp_path: Path) -> None:
    slimmable.save(tmp_path / "net.ekg")
    one, other = ek.slimmed(load_graph(tmp_path / "net.ekg"), 0.25), ek.slimmed(slimmable, 0.25)
    assert all(torch.equal(one.state[name].tensor, value.tensor) for name, value in other.state.items())


def test_a_training_that_was_interrupted_ends_with_the_same_weights(slimmable: Graph, tmp_path: Path) -> None:
    def stop(text: str) -> None:
        if "epoch 2" in text:
            raise KeyboardInterrupt

    from edgekit.compress.context import Context

    with pytest.raises(KeyboardInterrupt):
        STEP.apply(network(), data(), context=Context(folder=tmp_path, say=stop))
    again = STEP.apply(network(), data(), context=Context(folder=tmp_path))
    assert all(torch.equal(again.state[name].tensor, value.tensor) for name, value in slimmable.state.items())


def test_sizes_learn_from_the_labels_where_they_are_told_to() -> None:
    graph = network()
    one = ek.Slimmable(widths=(0.5, 1.0), epochs=2, distillation=0.0, sandwich=0).apply(graph, data(64))
    other = ek.Slimmable(widths=(0.5, 1.0), epochs=2, distillation=1.0, sandwich=0).apply(graph, data(64))
    assert not torch.equal(one.state["stem.0.weight"].tensor, other.state["stem.0.weight"].tensor)
    assert set(one.history[-1].details["training"]["epochs"][0]["terms"]) == {"whole", "0.5"}


def test_each_size_learns_from_a_batch_of_its_own_and_from_the_whole_networks_answers_to_it() -> None:
    """Against the losses of the networks on their own, written down with torch alone."""
    graph = network()
    nested = [nest(graph, Size(0.5))]
    whole = _with_own_tensors(graph, nested)
    objective = Sandwich(
        whole,
        nested,
        TaskLoss(whole),
        loss="auto",
        between=None,
        share=0.6,
        temperature=2.0,
        epochs=3,
        gradients="mean",
        batches="auto",
    )
    objective.around(whole, {})
    assert objective.draws == 2
    (x, y), (own_x, own_y) = ((torch.from_numpy(a), torch.from_numpy(b)) for a, b in (blobs(16), blobs(16, seed=3)))
    small, large = nested[0].filled(whole).module().train(), copy.deepcopy(whole).module().train()
    outputs = whole.module().train().run([x])
    before = {name: value.tensor.detach().clone() for name, value in whole.state.items()}
    terms = objective(Pass([x], y, outputs, {}, 2, (), (Fed([own_x], (own_y,)),)))
    # What was asked for an answer has learned nothing, in its statistics neither; the smaller size has seen its own batch.
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, whole.state[name].tensor)}
    assert moved and all(name.startswith("slimmable.0_5.") for name in moved)
    z, t = small(own_x), large(own_x).detach()
    distance = 4 * F.kl_div(F.log_softmax(z / 2, 1), F.softmax(t / 2, 1), reduction="batchmean")
    torch.testing.assert_close(terms["whole"], F.cross_entropy(outputs[0], y))
    torch.testing.assert_close(terms["0.5"], 0.6 * distance + 0.4 * F.cross_entropy(z, own_y))


def test_half_precision_leaves_no_weight_without_a_gradient() -> None:
    """Autocast keeps the casts of a step's weights; those that answers without gradients are made of must not be kept."""
    graph = network()
    training = Training(optimizer="sgd", lr=0.05, batch_size=32, precision="bfloat16", weight_decay=0.0, validation=0.0)
    found = ek.Slimmable(widths=(0.5, 1.0), epochs=2, distillation=1.0, training=training).apply(graph, data(64))
    still = [n for n, v in graph.state.items() if v.is_trainable and torch.equal(v.tensor, found.state[n].tensor)]
    assert not still


def test_batches_are_each_sizes_own_unless_the_data_has_one_order() -> None:
    x, y = (torch.from_numpy(array) for array in blobs(64))
    loader = DataLoader(TensorDataset(x, y), batch_size=32, sampler=list(range(64)))
    training = Training(batch_size=32, validation=0.0)
    step = ek.Slimmable(widths=(0.5, 1.0), epochs=1, training=training)
    of = [one.apply(network(), found).history[-1] for one, found in ((step, data(64)), (step, ek.Data(train=loader)))]
    assert [record.details["batches"] for record in of] == ["own", "shared"]
    assert ["one order" in " ".join(record.notes) for record in of] == [False, True]
    shared = replace(step, batches="shared").apply(network(), data(64)).history[-1]
    assert shared.details["batches"] == "shared" and "one order" not in " ".join(shared.notes)


def test_shared_norms_have_the_whole_networks_scales_and_statistics_of_their_own() -> None:
    graph = ek.Slimmable(widths=(0.5, 1.0), epochs=1, norms="shared").apply(network(), data(128))
    half = ek.slimmed(graph, 0.5).state
    assert torch.equal(half["block.1.weight"].tensor, graph.state["block.1.weight"].tensor[[0, 1, 4, 5]])
    assert not torch.equal(half["block.1.running_mean"].tensor, graph.state["block.1.running_mean"].tensor[[0, 1, 4, 5]])


def test_last_layers_are_each_sizes_own_where_they_are_asked_for_or_cost_next_to_nothing() -> None:
    training = Training(optimizer="sgd", lr=0.05, batch_size=32)
    trained = {
        how: ek.Slimmable(widths=(0.5, 1.0), epochs=1, heads=how, training=training).apply(network(), data(96))
        for how in ("own", "auto", "shared")
    }
    own, auto, shared = (trained[how].history[-1].details["heads"] for how in ("own", "auto", "shared"))
    assert own == ["head.weight", "head.bias"] and shared == []
    assert any("its own head.weight" in note for note in trained["own"].history[-1].notes)
    assert not any("its own" in note for note in trained["shared"].history[-1].notes)
    assert auto == []  # a head of 512 weights in a network of a few thousand
    half, whole = ek.slimmed(trained["own"], 0.5), trained["own"]
    first = whole.state["head.weight"].tensor[:, : half.state["head.weight"].tensor_shape[1]]
    assert not torch.equal(half.state["head.weight"].tensor, first)
    assert torch.equal(half.state["head.weight"].tensor, whole.state["slimmable.0_5.head.weight"].tensor)
    assert not torch.equal(half.state["head.bias"].tensor, whole.state["head.bias"].tensor)
    assert whole.parameters == network().parameters


def test_a_head_that_costs_a_fiftieth_is_own_without_being_asked_for() -> None:
    torch.manual_seed(0)
    body = [torch.nn.Linear(6, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2)]
    graph = ek.load(torch.nn.Sequential(*body), (torch.zeros(2, 6),))
    small = [nest(graph, Size(0.5))]
    assert heads_of(graph, small, "auto") == ("4.weight", "4.bias")
    further = sum(small[0].graph.state[name].tensor.numel() for name in ("4.weight", "4.bias"))
    assert further <= AUTO * graph.parameters < further + 60


def test_the_sandwich_draws_sizes_and_keeps_the_smallest() -> None:
    step = ek.Slimmable(widths=(0.25, 0.5, 0.75, 1.0), epochs=2, sandwich=1, training=Training(batch_size=16))
    graph = step.apply(network(), data(96))
    found = {name for epoch in graph.history[-1].details["training"]["epochs"] for name in epoch["terms"]}
    assert found == {"whole", "0.25", "0.5", "0.75"}


def test_weights_of_several_sizes_take_the_mean_of_their_gradients() -> None:
    graph = network()
    nested = [nest(graph, Size(width)) for width in (0.75, 0.5, 0.25)]
    rule = Pace(graph, {}, nested, [0.5, 0.5, 1.0])  # a sandwich of the smallest and one of two others
    for value in graph.state.values():
        value.tensor.grad = torch.ones(value.tensor_shape) if value.is_trainable else None
    rule.gradients()
    terms = torch.tensor([3.0, 2.0, 1.5, 1.0] * 2)  # the first ones of both groups of the grouped convolution are in all
    stem = graph.state["stem.0.weight"].tensor.grad
    assert stem is not None and torch.allclose(stem, (1 / terms).reshape(8, 1, 1, 1).expand(8, 1, 3, 3))
    assert torch.equal(graph.state["stem.1.weight"].tensor.grad, torch.ones(8))  # each size has its own


def test_what_the_whole_network_has_alone_learns_as_fast_with_the_mean_as_with_the_sum() -> None:
    training = Training(optimizer="sgd", lr=0.1, batch_size=64)  # one step in all
    steps = [ek.Slimmable(widths=(0.5, 1.0), epochs=1, gradients=name, training=training) for name in ("mean", "sum")]
    mean, added = (step.apply(network(), data(64)).state["head.weight"].tensor for step in steps)
    shared = 8 * 16
    assert torch.allclose(mean[:, shared:], added[:, shared:], atol=1e-7)
    assert not torch.allclose(mean[:, :shared], added[:, :shared], atol=1e-4)


def test_layers_keep_a_multiple_where_they_are_told_to() -> None:
    nested = nest(network(), Size(0.4), 4)
    assert nested.graph.state["stem.0.weight"].tensor_shape[0] == 4
    assert nested.graph.state["wider.0.weight"].tensor_shape == (8, 4, 3, 3)


def test_regression_is_distilled_by_distance() -> None:
    torch.manual_seed(0)
    graph = graph_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 2)), (2, 1, 8, 8))
    x = blobs(128)[0]
    y = np.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1).astype(np.float32)
    found = ek.Slimmable(widths=(0.5, 1.0), epochs=2, training=Training(optimizer="adam")).apply(graph, ek.Data(train=(x, y)))
    assert ek.slimmed(found, 0.5).state["1.weight"].tensor_shape == (8, 64)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"widths": (0.5,)}, "lacks the whole"),
        ({"widths": (1.0,)}, "one size"),
        ({"widths": "0.5"}, "list of shares"),
        ({"widths": (0.5, 0.5, 1.0)}, "twice"),
        ({"widths": (0.0, 1.0)}, "above 0"),
        ({"widths": (1.0, 1.5)}, "up to 1"),
        ({"batches": "own"}, "auto"),
    ],
)
def test_widths_that_cannot_be_are_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        ek.Slimmable(**fields)  # type: ignore[arg-type]
    assert caught.value.hint


def test_what_is_not_slimmable_is_refused(slimmable: Graph) -> None:
    with pytest.raises(UsageError, match="not slimmable"):
        ek.slimmed(network(), 0.5)
    with pytest.raises(UsageError, match=r"no size 0\.3") as caught:
        ek.slimmed(slimmable, 0.3)
    assert "0.25" in str(caught.value.hint)
    with pytest.raises(Unsupported, match="slimmable already"):
        STEP.apply(slimmable, data())
    later = ek.Prune(ratio=0.25).apply(slimmable)
    with pytest.raises(UsageError, match="came behind"):
        ek.slimmed(later, 0.5)
    linear = graph_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), (2, 1, 8, 8))
    with pytest.raises(Unsupported, match="no layer may lose channels"):
        STEP.apply(linear, data())
    with pytest.raises(UsageError, match="same network"):
        ek.Slimmable(widths=(0.4, 0.5, 1.0), round_to=8).apply(network(), data())


def test_exits_that_were_calibrated_for_one_size_are_refused() -> None:
    with pytest.raises(Unsupported, match="early exits") as caught:
        STEP.apply(network_with_exits(), data(96))
    assert "then 'slim'" in str(caught.value.hint)


def test_what_was_not_to_be_trained_is_not_trained_at_any_size() -> None:
    torch.manual_seed(0)
    module = Residual()
    module.stem[1].weight.requires_grad_(False)
    graph = graph_of(module, (2, 1, 8, 8))
    found = ek.Slimmable(widths=(0.5, 1.0), epochs=1, training=Training(batch_size=32)).apply(graph, data(64))
    before, half = graph.state["stem.1.weight"].tensor, ek.slimmed(found, 0.5).state
    assert torch.equal(found.state["stem.1.weight"].tensor, before) and torch.equal(half["stem.1.weight"].tensor, before[:4])
    assert not torch.equal(half["stem.1.bias"].tensor, graph.state["stem.1.bias"].tensor[:4])


def test_what_is_no_classification_has_no_accuracy() -> None:
    torch.manual_seed(0)
    graph = graph_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 1)), (2, 1, 8, 8))
    x, y = blobs(64)
    training = Training(batch_size=16, validation=0.25)
    found = ek.Slimmable(widths=(0.5, 1.0), epochs=1, training=training).apply(graph, (x, y[:, None].astype(np.float32)))
    assert [row["held_out"]["top1"] for row in found.history[-1].details["sizes"]] == [None, None]
    assert np.isfinite(found.history[-1].details["sizes"][0]["held_out"]["loss"])


def test_a_width_that_decimals_cannot_write_is_found_by_its_name() -> None:
    found = ek.Slimmable(widths=(1 / 3, 1.0), epochs=1).apply(network(), data(64))
    assert ek.slimmed(found, 0.333333).macs == ek.slimmed(found, 1 / 3).macs < found.macs


def test_a_batch_of_one_is_refused_by_batch_norms_on_vectors() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    step = ek.Slimmable(widths=(0.5, 1.0), epochs=1, training=Training(batch_size=1))
    with pytest.raises(UsageError, match="a batch norm can't learn from one value"):
        step.apply(graph_of(layers, (2, 1, 8, 8)), data(16))
