"""Masks learned on an untrained network: its weights stay what they were, only which of them live is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.compress.lottery.agnostic import candidates
from edgekit.compress.lottery.scores import Learning, Scores
from edgekit.compress.lottery.supermask import Supermask
from edgekit.compress.steps import parse_steps
from edgekit.data import Data
from edgekit.errors import UsageError
from edgekit.ir import Graph
from edgekit.train import Training
from edgekit.train.checkpoint import Checkpoint
from edgekit.train.fresh import untrained
from edgekit.train.loop import train
from tests.train.networks import blobs, digits, graph_of, same

torch.set_num_threads(1)

DATA = Data(train=blobs(), evaluate=blobs(48, seed=1))
HOW = Training(optimizer="adam", lr=0.1, weight_decay=0.0, batch_size=32)
SLOW = Training(optimizer="adam", lr=0.01, weight_decay=0.0, batch_size=32)


class Mlp(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))


def mlp() -> Graph:
    torch.manual_seed(0)
    return graph_of(Mlp(), (1, 1, 8, 8))


def alive(graph: Graph, name: str) -> torch.Tensor:
    return graph.state[name].tensor != 0


@pytest.mark.parametrize(("method", "how"), [("bernoulli", HOW), ("top_k", SLOW)])
def test_an_untrained_network_answers_when_its_mask_is_learned(method: str, how: Training) -> None:
    record = Supermask(method=method, epochs=20, training=how).apply(mlp(), DATA).history[-1]
    assert record.details["supermask"]["top1"] > 0.8 > 0.5 > record.details["untrained"]["top1"]
    assert any("no dense kernel faster" in warning for warning in record.warnings)
    json.dumps(record.as_dict(), allow_nan=False)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("method", ["bernoulli", "top_k"])
def test_what_lives_has_its_first_value_times_the_rescaling_of_its_layer(method: str, rescale: bool) -> None:
    found = Supermask(method=method, epochs=2, training=HOW, rescale=rescale, seed=3).apply(mlp(), DATA)
    first = untrained(mlp(), 3)
    for name in ("1.weight", "3.weight"):
        lives = alive(found, name)
        ratio = lives.numel() / int(lives.sum())
        factor = (ratio if method == "bernoulli" else ratio**0.5) if rescale else 1.0
        assert 0 < int(lives.sum()) < lives.numel()
        torch.testing.assert_close(found.state[name].tensor[lives], first.state[name].tensor[lives] * factor)
        assert not found.state[name.replace("weight", "bias")].tensor.any()


def test_signed_constants_are_the_deviation_of_the_layers_initial_weights() -> None:
    found = Supermask(weights="signed_constant", epochs=1, training=HOW, rescale=False).apply(mlp(), DATA)
    weight, first = found.state["1.weight"].tensor, untrained(mlp(), 0).state["1.weight"].tensor
    lives = weight != 0
    torch.testing.assert_close(weight[lives], (first.sign() * first.std(correction=0))[lives])


def test_the_largest_scores_live_and_exactly_so_many() -> None:
    record = Supermask(method="top_k", sparsity=0.7, epochs=1, training=SLOW).apply(mlp(), DATA).history[-1]
    assert record.details["zeros"] == {"1.weight": [1434, 2048], "3.weight": [90, 128]}  # round(0.7 * n)


@pytest.mark.parametrize("method", ["bernoulli", "top_k"])
def test_scores_get_the_gradient_of_their_papers(method: str) -> None:
    """Against autograd over w * m(s) with the mask's derivative replaced by hand."""
    graph = mlp()
    name, learning = "3.weight", Learning(method, 0.5, rescale=True, seed=1)
    tensor, w = graph.state[name].tensor, graph.state[name].tensor.detach().clone()
    rule = Scores(graph, [name], learning)
    s = rule.tensors()[name].clone()
    rule.begin()
    mask = (tensor.detach() != 0).float()
    x, y = torch.randn(6, 32), torch.tensor([0, 1, 2, 3, 0, 1])
    loss = nn.functional.cross_entropy(x @ tensor.T, y)
    (tensor.grad,) = torch.autograd.grad(loss, tensor)
    rule.gradients()

    score = s.clone().requires_grad_()
    ratio = mask.numel() / float(mask.sum())
    if method == "bernoulli":  # the sample's derivative is the probability's
        p = torch.sigmoid(score)
        straight, factor = p + (mask - p).detach(), ratio
    else:  # the derivative of the mask of |s| is that of |s|
        straight, factor = score.abs() + (mask - score.abs()).detach(), ratio**0.5
        assert torch.equal(mask.flatten().nonzero().flatten(), s.flatten().abs().topk(64).indices.sort().values)
    torch.testing.assert_close(tensor.detach(), s)  # scores are where the optimizer looks for weights
    nn.functional.cross_entropy(x @ (w * straight * factor).T, y).backward()
    torch.testing.assert_close(tensor.grad, score.grad)


def test_probabilities_are_drawn_at_every_step_and_settled_in_the_end() -> None:
    graph = mlp()
    rule = Scores(graph, ["1.weight"], Learning("bernoulli", 0.0, rescale=False, seed=0))
    drawn = []
    for _ in range(2):
        rule.begin()
        drawn.append(alive(graph, "1.weight"))
        rule.gradients()
        rule.weights()
    assert not torch.equal(*drawn)
    assert 0.4 < float(drawn[0].float().mean()) < 0.6
    assert torch.equal(alive(graph, "1.weight"), rule.tensors()["1.weight"] > 0)


def test_nothing_else_is_trained_and_all_is_trainable_afterwards() -> None:
    found = Supermask(epochs=2, training=HOW, layers=("conv",)).apply(digits(), DATA)
    first = untrained(digits(), 0)
    for name in ("head.weight", "norm.weight", "norm.bias"):
        assert torch.equal(found.state[name].tensor, first.state[name].tensor)
    assert [v.data.requires_grad for v in found.constants() if isinstance(v.data, nn.Parameter)] == [True] * 6
    assert found.history[-1].declined["head.weight"] == "it is not among 'layers'"


def test_one_shared_value_is_the_same_for_all_that_live_in_a_layer() -> None:
    step = Supermask(weights="shared", method="top_k", epochs=20, training=SLOW)
    found = step.apply(mlp(), DATA)
    details = found.history[-1].details["one_weight"]
    assert [row["value"] for row in details["values"]] == [0.5, 1.0, 2.0]
    # Without biases a ReLU network's answer does not depend on a positive value: f(v w) = v^2 f(w) for two layers.
    assert len({row["top1"] for row in details["values"]}) == 1
    assert details["mean"]["top1"] == pytest.approx(details["ensemble"]["top1"]) == pytest.approx(details["tuned"]["top1"])
    assert found.history[-1].details["supermask"]["top1"] > 0.6
    value = details["tuned"]["value"]
    for name, fan_in in (("1.weight", 64), ("3.weight", 32)):
        kept = found.state[name].tensor[alive(found, name)]
        assert torch.allclose(kept, torch.full_like(kept, value * fan_in**-0.5 * 2**0.5))  # half live: sqrt(n / n_alive)


def test_the_value_is_tuned_on_what_was_held_out_between_the_values_of_the_series() -> None:
    assert candidates((1.0, 4.0)) == pytest.approx([1.0, 2**0.5, 2.0, 8**0.5, 4.0])
    assert candidates((-1.0, 1.0)) == [-1.0, -0.5, 0.5, 1.0]
    for validation, tuned in ((0.1, True), (0.0, False)):
        how = Training(optimizer="adam", lr=0.01, batch_size=32, validation=validation)
        step = Supermask(weights="shared", method="top_k", shared=(1.0, 3.0), epochs=4, training=how)
        record = step.apply(mlp(), DATA).history[-1]
        if tuned:
            assert record.details["one_weight"]["tuned"]["value"] in candidates((1.0, 3.0)) and record.notes == ()
        else:
            assert record.details["one_weight"]["tuned"]["value"] == 1.0
            assert "the shared value was not tuned" in record.notes[0]


class _Killed(Exception):
    pass


@pytest.mark.parametrize("method", ["bernoulli", "top_k"])
@pytest.mark.parametrize("saves", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_learning_a_mask_goes_on_where_it_was_cut_off_bit_for_bit(
    method: str, saves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps an epoch, a checkpoint after each: the second cut is in the middle of an epoch."""

    def run(folder: Path | None) -> Graph:
        learning = Learning(method, 0.5, rescale=True, seed=0)
        rule = lambda graph: Scores(graph, ["1.weight", "3.weight"], learning)  # noqa: E731
        settings = Training(epochs=3, optimizer="adam", lr=0.05, batch_size=32)
        return train(mlp(), DATA, settings, folder=folder, save_every=0.0, rule=rule).graph

    real, left = Checkpoint.save, saves

    def save(self: Checkpoint, folder: Path) -> None:
        nonlocal left
        real(self, folder)
        left -= 1
        if left == 0:
            raise _Killed

    whole = run(None)
    monkeypatch.setattr(Checkpoint, "save", save)
    with pytest.raises(_Killed):
        run(tmp_path)
    monkeypatch.setattr(Checkpoint, "save", real)
    assert same(run(tmp_path), whole)


def test_the_same_seed_finds_the_same_mask_and_another_one_another() -> None:
    one, other, third = (Supermask(epochs=1, training=HOW, seed=seed).apply(mlp(), DATA) for seed in (1, 1, 2))
    assert same(one, other) and not same(one, third)


def test_the_step_reads_from_a_recipe() -> None:
    table: dict[str, object] = {"step": "supermask", "method": "top_k", "sparsity": 0.6, "weights": "signed_constant"}
    (step,) = parse_steps([table], Path("edgekit.toml"))
    assert step == Supermask(method="top_k", sparsity=0.6, weights="signed_constant")
    assert {"step": "supermask", **step.options()} == table


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"method": "topk"}, "unknown method 'topk'"),
        ({"weights": "constant"}, "unknown weights"),
        ({"method": "bernoulli", "sparsity": 0.5}, "learned with probabilities"),
        ({"method": "top_k", "sparsity": 1.0}, "above 0 to below 1"),
        ({"epochs": 0}, "a whole number from 1"),
        ({"weights": "shared", "shared": (0.0,)}, "numbers other than 0"),
        ({"shared": (1.0,)}, "the values of one weight"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Supermask(**wrong)


def test_without_evaluation_data_there_are_no_metrics_but_a_mask() -> None:
    x, y = blobs()
    record = Supermask(epochs=1, training=HOW).apply(mlp(), Data(train=(x, y.astype(np.int64)))).history[-1]
    assert record.details["supermask"] == {} and 0.3 < record.details["sparsity"] < 0.7
