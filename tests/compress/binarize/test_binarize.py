"""Training binary layers: what the step makes of a graph, how latent weights move, and what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.binarize import application
from edgekit.compress.binarize.latents import Latents
from edgekit.compress.steps import parse_steps
from edgekit.ir import Graph, ops
from edgekit.train.masks import Masks
from tests.compress.binarize.networks import TRAINING, Layers, Pooled, Residual, binary, source
from tests.trained import digits

torch.set_num_threads(1)
METHODS = ("binary_connect", "bnn", "xnor_net", "react_net")


def kinds(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


@pytest.mark.parametrize("method", METHODS)
def test_inner_weights_come_out_as_signs_and_the_network_works(method: str) -> None:
    graph = binary(Pooled, method)
    record = graph.history[-1]
    assert record.metrics["top1"][1] > 0.85
    assert sorted(record.details["binary"]) == ["second.0.weight", "third.0.weight"]
    assert set(record.declined) == {"first.0.weight", "last.weight"}
    for name in record.details["binary"]:
        weight = graph.state[name].tensor
        assert set(weight.unique().tolist()) == {-1.0, 1.0} and not weight.requires_grad
    assert "binary_weight" not in kinds(graph)
    assert kinds(graph).count("binary_sign") == (0 if method == "binary_connect" else 2)


def test_each_method_has_the_order_of_its_paper() -> None:
    bnn = kinds(binary(Pooled, "bnn"))
    assert bnn[:7] == ["conv2d", "batch_norm", "binary_sign", "conv2d", "batch_norm", "binary_sign", "max_pool2d"]
    xnor = [k for k in kinds(binary(Pooled, "xnor_net")) if k not in ("mul", "add")]
    assert xnor[:7] == ["conv2d", "batch_norm", "binary_sign", "conv2d", "max_pool2d", "batch_norm", "binary_sign"]
    react = kinds(binary(Pooled, "react_net"))
    assert react[:7] == ["conv2d", "batch_norm", "sub", "prelu", "add", "sub", "binary_sign"]
    scale = binary(Pooled, "xnor_net").state["second.1.weight"].tensor
    assert bool((scale >= 0).all()), "the norm behind a pool is a threshold for the largest"


@pytest.mark.parametrize(("method", "scaled"), [("bnn", False), ("xnor_net", True)])
def test_what_is_absorbed_computes_what_was_trained(method: str, scaled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Graph] = []
    absorb = application.absorb

    def spy(graph: Graph) -> Graph:
        seen.append(graph)
        return absorb(graph)

    monkeypatch.setattr(application, "absorb", spy)
    x, y, x_test, _ = digits()
    result = ek.Binarize(method=method, epochs=1, training=TRAINING).apply(source(Pooled), ek.Data(train=(x[:256], y[:256])))
    images = torch.from_numpy(x_test)
    with torch.no_grad():
        trained, absorbed = (graph.module().eval()(images) for graph in (seen[0], result))
    assert torch.allclose(trained, absorbed, atol=1e-4) and ("mul" in kinds(result)) == scaled
    for node in seen[0].nodes:
        if isinstance(node.op, ops.BinaryWeight):
            assert float(node.input(0).tensor.detach().abs().max()) <= 1.0


def test_an_activation_that_a_sum_reads_too_is_replaced_for_the_layer_alone() -> None:
    graph = binary(Residual, "bnn", 1)
    sign = next(node for node in graph.nodes if isinstance(node.op, ops.BinarySign))
    assert sign.input(0).producer is not None and isinstance(sign.input(0).producer.op, ops.BatchNorm)
    assert kinds(graph).count("relu") == 2, "the sum reads what it read before"


def test_signs_of_what_is_never_negative_get_a_norm() -> None:
    class Averaged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
            self.inner = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            self.last = nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.inner(self.first(x)).mean((2, 3)))

    x, y, _, _ = digits()
    graph = ek.Binarize(epochs=1, training=TRAINING).apply(source(Averaged), ek.Data(train=(x[:256], y[:256])))
    assert kinds(graph)[:5] == ["conv2d", "relu", "avg_pool2d", "batch_norm", "binary_sign"]
    assert "inner.0.sign_norm.running_mean" in graph.state


def test_stochastic_weights_are_drawn_in_training_and_signs_afterwards() -> None:
    x, y, x_test, y_test = digits()
    step = ek.Binarize(method="binary_connect", stochastic=True, glorot=True, epochs=4, training=TRAINING)
    data = ek.Data(train=(x, y), evaluate=(x_test, y_test))
    graph = ek.Recipe([step]).apply(source(Layers), data)
    again = ek.Recipe([step]).apply(source(Layers), data)
    record = graph.history[-1]
    assert set(graph.state["layers.4.weight"].tensor.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(graph.state["layers.4.weight"].tensor, again.state["layers.4.weight"].tensor)
    assert record.details["batch_norms_reestimated"] == 3, "the statistics of drawn weights are not those of signs"
    assert record.metrics["top1"][1] > 0.5 and record.details["real_weights"]["top1"] > 0.5


def test_latent_weights_are_clipped_paced_and_never_decay() -> None:
    graph = source(Layers)
    weight = graph.state["layers.4.weight"].tensor
    rule = Latents(graph, ["layers.4.weight"], [], "linear", Masks(graph, {}))
    before = weight.detach().clone()
    rule.begin()
    with torch.no_grad():
        weight.add_(1e-3)
    rule.weights()
    pace = ((96 + 70) / 1.5) ** 0.5
    assert torch.allclose(weight - before, torch.full_like(before, 1e-3 * pace), atol=1e-6)
    with torch.no_grad():
        weight.mul_(100.0)
    rule.weights()
    assert float(weight.detach().abs().max()) == 1.0
    assert [id(t) for t in rule.undecayed] == [id(weight)]


def test_a_decayed_optimizer_leaves_latent_weights_alone() -> None:
    x, y, _, _ = digits()
    frozen = ek.Training(optimizer="adamw", lr=1e-9, weight_decay=1e6, batch_size=64, validation=0.0)
    given = source(Layers)
    signs = given.state["layers.4.weight"].tensor.detach()
    graph = ek.Binarize(epochs=1, training=frozen).apply(given, ek.Data(train=(x[:256], y[:256])))
    assert torch.equal(graph.state["layers.4.weight"].tensor, torch.where(signs >= 0, 1.0, -1.0))
    kept = graph.state["layers.11.weight"].tensor.detach()
    assert not torch.allclose(kept, given.state["layers.11.weight"].tensor, rtol=1e-4), "other weights decay"


def test_a_killed_training_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    from edgekit.compress.context import Context
    from edgekit.train import loop

    x, y, _, _ = digits()
    step = ek.Binarize(method="binary_connect", stochastic=True, glorot=True, epochs=2, training=TRAINING)
    data = ek.Data(train=(x[:256], y[:256]))
    whole = step.apply(source(Layers), data)

    class Killed(Exception):
        pass

    original = loop._Run._finish_epoch

    def dies(self: loop._Run, *args: float) -> None:
        original(self, *args)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Run, "_finish_epoch", dies)
        with pytest.raises(Killed):
            step.apply(source(Layers), data, context=Context(folder=tmp_path))
    resumed = step.apply(source(Layers), data, context=Context(folder=tmp_path))
    assert all(torch.equal(value.tensor, resumed.state[name].tensor) for name, value in whole.state.items())


def test_a_recipe_spells_the_step() -> None:
    (step,) = parse_steps([{"step": "binarize", "method": "xnor_net", "epochs": 3, "keep": ["third"]}], None)
    assert step == ek.Binarize(method="xnor_net", epochs=3, keep=("third",))
    assert step.options() == {"method": "xnor_net", "epochs": 3, "keep": ["third"]}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": "bnnn"}, "unknown method"),
        ({"gradient": "clipp"}, "unknown gradient"),
        ({"method": "binary_connect", "gradient": "clip"}, "binary activations"),
        ({"method": "xnor_net", "stochastic": True}, "no scale"),
        ({"epochs": -1}, "number from 0"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_written_down(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ek.UsageError, match=words):
        ek.Binarize(**fields)  # type: ignore[arg-type]


def test_what_has_no_inner_layer_is_refused_with_the_reason() -> None:
    with pytest.raises(ek.UsageError, match="no layer to make binary") as caught:
        ek.Binarize(keep=("layers",)).apply(source(Layers), None)
    assert "'keep' names 'layers'" in str(caught.value.hint)
    with pytest.raises(ek.UsageError, match="which is not a weight"):
        ek.Binarize(keep=("lairs",)).apply(source(Layers), None)


def test_a_layer_without_a_norm_behind_it_is_warned_of() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)

    x, y, _, _ = digits()
    data = ek.Data(train=(x[:128], y[:128]))
    bare = ek.Binarize(epochs=0, training=TRAINING).apply(source(Bare), data)
    assert "no batch norm stands behind the binary layer 'layers.3.weight'" in bare.history[-1].warnings[0]
    assert not ek.Binarize(epochs=0, scaled=True, training=TRAINING).apply(source(Bare), data).history[-1].warnings
