"""Exits are trained, calibrated and placed; the network stays what it was, and files do what the record says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit import ConfigError, Unsupported, UsageError
from edgekit.compress.early_exit.layout import features_axis
from edgekit.compress.early_exit.places import cuts, find
from edgekit.compress.quantize.sensitivity import logits
from edgekit.compress.steps import parse_steps
from edgekit.export.tflite.exporter import export
from edgekit.ir import Graph, ops
from edgekit.ir.exits import exit_plan
from edgekit.ir.types import Batch
from edgekit.passes.base import run_passes
from edgekit.passes.pipeline import EXACT
from edgekit.report.exit_sections import exit_section
from edgekit.runtime.artifact import Artifact
from tests.train.networks import blobs, graph_of

torch.set_num_threads(1)


class Stages(nn.Module):
    """Three convolutions, each a stage."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, stride=2), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(16, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.third(self.second(self.first(x))).mean((2, 3)))  # type: ignore[no-any-return]


def trained() -> Graph:
    torch.manual_seed(0)
    graph = graph_of(Stages(), (2, 1, 8, 8))
    return ek.FineTune(epochs=4, lr=0.01, optimizer="adam", batch_size=64).apply(graph, ek.Data(train=noisy(1500)))


def noisy(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Blobs of which some drown in noise."""
    x, y = blobs(count, seed=seed)
    random = np.random.default_rng(seed + 100)
    return (x + random.standard_normal(x.shape) * random.choice([0.1, 2.5], (count, 1, 1, 1))).astype(np.float32), y


@pytest.fixture(scope="module")
def network() -> Graph:
    return trained()


def test_only_heads_change_and_the_files_do_what_the_record_says(network: Graph) -> None:
    before = {name: value.tensor.detach().clone() for name, value in network.state.items()}
    data = ek.Data(train=noisy(1500), evaluate=noisy(400, seed=7))
    step = ek.EarlyExit(at=("first", "second"), head=ek.Head(pool=2), epochs=5, max_drop=1.0, caution=0.0)
    exits = ek.Recipe([step]).apply(network, data)
    assert all(torch.equal(exits.state[name].tensor, tensor) for name, tensor in before.items())
    record = exits.history[-1]
    shown = record.details["evaluation"]
    assert sum(row["rate"] for row in shown["exits"]) == pytest.approx(1.0)
    assert shown["exits"][0]["rate"] > 0.2
    assert record.details["held_out"]["top1"] >= record.details["held_out"]["top1_of_last"] - 0.01
    assert shown["top1"] == pytest.approx(record.metrics["top1"][1])
    assert shown["cost"]["mean"] < 0.95 * shown["cost"]["worst"]
    assert all(row["nll_after"] <= row["nll_before"] + 1e-6 for row in record.details["held_out"]["exits"][:-1])
    x = noisy(200, seed=8)[0]
    with torch.no_grad():
        want = exits.module().eval()(torch.from_numpy(x)).numpy()
    assert np.abs(Artifact(export(run_passes(exits, EXACT)[0])).run(x) - want).max() < 1e-4
    page = exit_section([record.as_dict()])
    assert [row["name"] for row in shown["exits"]] == ["first.2", "second.1", "end"]
    assert "first" not in str(record.warnings) and "<svg" in page and "Early exits" in page


def test_thresholds_do_not_look_at_the_evaluation_data(network: Graph) -> None:
    step = ek.EarlyExit(at=(0.3,), epochs=2, mean_cost=0.6)
    found = []
    for seed in (1, 2):
        x, y = noisy(100, seed=seed)
        data = ek.Data(train=noisy(800), evaluate=(x, y if seed == 1 else np.roll(y, 1)))
        node = next(n for n in step.apply(network, data).nodes if isinstance(n.op, ops.ChooseExit))
        found.append(node.op)
    assert found[0] == found[1]


def test_a_goal_of_cost_is_kept_on_what_was_held_out(network: Graph) -> None:
    exits = ek.EarlyExit(at=("first",), epochs=2, mean_cost=0.6, score="margin").apply(network, noisy(800))
    assert exits.history[-1].details["held_out"]["cost"]["mean"] <= 0.6


def test_a_head_with_a_convolution_is_trained_on_the_frozen_network(network: Graph) -> None:
    head = ek.Head(pool=2, channels=6)
    training = ek.Training(optimizer="adam", lr=0.01, batch_size=32)
    step = ek.EarlyExit(
        at=("first",), head=head, epochs=3, training=training, max_drop=2.0, self_distillation=0.5, score="entropy"
    )
    exits = step.apply(network, noisy(800))
    assert all(torch.equal(exits.state[name].tensor, value.tensor) for name, value in network.state.items())
    assert exits.history[-1].details["held_out"]["exits"][0]["top1_alone"] > 0.4
    assert exits.state["exits.0.conv.weight"].tensor_shape == (6, 8, 3, 3)


@pytest.mark.parametrize("channels", [0, 6])
def test_what_heads_read_is_computed_once_to_the_same_end(
    network: Graph, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heads in the graph give what their training ended with, however they were trained."""
    step = ek.EarlyExit(at=("first", "second"), head=ek.Head(pool=2, channels=channels), epochs=4, max_drop=2.0)
    data = noisy(800)
    kept = step.apply(network, data)
    monkeypatch.setattr("edgekit.compress.early_exit.features._MOST_KEPT", 0)
    run = step.apply(network, data)
    losses = [graph.history[-1].details["training"]["epochs"][-1]["terms"]["exit_0"] for graph in (kept, run)]
    assert losses[0] < losses[1] + 0.05  # standardised, they learn no slower
    found = [graph.history[-1].details["held_out"]["exits"][0]["nll_before"] for graph in (kept, run)]
    assert abs(found[0] - losses[0]) < 0.4 and abs(found[1] - losses[1]) < 0.4


def test_all_can_be_trained_together(network: Graph) -> None:
    step = ek.EarlyExit(at=(0.3,), freeze=False, epochs=2, weights=(0.5, 1.0), self_distillation=0.3, max_drop=2.0)
    exits = step.apply(network, noisy(800))
    assert not torch.equal(exits.state["head.weight"].tensor, network.state["head.weight"].tensor)
    assert [value.name for value in exits.outputs] == [value.name for value in network.outputs]
    terms = exits.history[-1].details["training"]["epochs"][0]["terms"]
    assert set(terms) == {"exit_0", "exit_1"}


def test_places_are_found_by_themselves(network: Graph) -> None:
    exits = ek.EarlyExit(epochs=3, max_drop=2.0, exits=1).apply(network, noisy(1500))
    plan = exit_plan(exits)
    assert plan is not None and len(plan.regions) == 1
    assert set(exits.state) - set(network.state) == {"exits.0.weight", "exits.0.bias"}


def test_parity_is_of_the_logits_of_all_exits(network: Graph, tmp_path: Path) -> None:
    exits = ek.EarlyExit(at=("first",), head=ek.Head(pool=2), epochs=5, max_drop=2.0).apply(network, noisy(1500))
    assert [value.name for value in logits(exits)] == ["exits.0", "head.last"]
    x, y = noisy(300, seed=5)
    for target in ("tflite-int8", "onnx-int8"):
        build = ek.build(exits, target, calibration=x[:100], evaluate=(x, y), output=tmp_path, name="net")
        (row,) = [found for found in build.report.evaluation if found.metric == "top1"]
        assert row.artifact is not None and row.source is not None and row.artifact > row.source - 0.03
        assert ek.run(build.artifact, x[:7]).shape == (7, 4)
        assert "Early exits" in (build.artifact.parent / "report.html").read_text()


def test_a_sample_goes_through_a_quantised_file_as_through_the_simulation(network: Graph) -> None:
    from edgekit.compress.quantize.post_training import quantize
    from edgekit.ir import simulate

    exits = ek.EarlyExit(at=("first", "second"), epochs=3, max_drop=1.0).apply(network, noisy(800))
    x = torch.from_numpy(noisy(100, seed=3)[0])
    whole = quantize(run_passes(exits, EXACT)[0], [[x]])[0]
    got = Artifact(export(whole), kernels="reference").run(x.numpy())
    assert np.array_equal(got, simulate(whole, x).numpy())


def test_values_that_all_passes_through_are_the_places_for_shares(network: Graph) -> None:
    end = network.outputs[0]
    found = cuts(network, end)
    assert [place.value.producer.op.name for place in found if place.value.producer is not None][:3] == ["relu"] * 3
    (place,) = find(network, (0.3,), end)
    nearest = min(found, key=lambda p: abs(p.macs / network.macs - 0.3))
    assert place.value is nearest.value


def test_what_features_of_a_sequence_are_is_known() -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lstm, self.head = nn.Conv1d(3, 8, 3), nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.relu(self.conv(x)).permute(0, 2, 1)
            return self.head(self.lstm(y)[0][:, -1])  # type: ignore[no-any-return]

    graph = graph_of(Sequence(), (2, 3, 20))
    by_op = {node.op.name: node.output for node in graph.nodes}
    assert features_axis(by_op["relu"]) == 1
    assert features_axis(by_op["lstm"]) == features_axis(by_op["permute"]) == 2
    random = np.random.default_rng(0)
    x, y = random.standard_normal((200, 3, 20)).astype(np.float32), random.integers(0, 4, 200)
    exits = ek.EarlyExit(at=(by_op["relu"].name, by_op["lstm"].name), epochs=1, mean_cost=0.9).apply(graph, (x, y))
    assert exits.state["exits.0.weight"].tensor_shape == (4, 8) and exits.state["exits.1.weight"].tensor_shape == (4, 6)


class ChannelsLast(nn.Module):
    """A residual stream (N, H, W, C) with layer norms, as of ConvNeXt and Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.spatial = nn.Conv2d(1, 12, 2, 2), nn.LayerNorm(12), nn.Conv2d(12, 12, 3, 1, 1, groups=12)
        self.wide, self.back, self.head = nn.Linear(12, 24), nn.Linear(24, 12), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).permute(0, 2, 3, 1)
        y = self.spatial(self.norm(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.back(torch.relu(self.wide(y)))
        return self.head(x.mean((1, 2)))  # type: ignore[no-any-return]


class TurnedLate(nn.Module):
    """A temporal convolution's steps, turned for a mean over them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(3, 8, 3), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.conv(x)).transpose(1, 2).mean(1))  # type: ignore[no-any-return]


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.conv, self.head = nn.Embedding(9, 6), nn.Conv1d(6, 8, 3), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.conv(self.words(x).transpose(1, 2))).mean(2))  # type: ignore[no-any-return]


class Tokens(nn.Module):
    """Patches whose tokens are mixed before their channels, with scales for norms (ResMLP)."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.one, self.two = nn.Conv2d(1, 12, 2, 2), nn.Parameter(torch.ones(12)), nn.Parameter(torch.ones(12))
        self.tokens, self.channels, self.head = nn.Linear(16, 16), nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.tokens((x * self.one).transpose(1, 2)).transpose(1, 2)
        x = x + torch.relu(self.channels(x * self.two))
        return self.head(x.mean(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("module", "x", "op", "number", "axis"),
    [
        (Tokens(), torch.zeros(2, 1, 8, 8), "reshape", 0, 1),
        (Tokens(), torch.zeros(2, 1, 8, 8), "permute", 0, 2),
        (Tokens(), torch.zeros(2, 1, 8, 8), "add", 0, 2),
        (Tokens(), torch.zeros(2, 1, 8, 8), "add", 1, 2),
        (ChannelsLast(), torch.zeros(2, 1, 8, 8), "permute", 0, 3),
        (ChannelsLast(), torch.zeros(2, 1, 8, 8), "permute", 1, 1),
        (ChannelsLast(), torch.zeros(2, 1, 8, 8), "relu", 0, 3),
        (ChannelsLast(), torch.zeros(2, 1, 8, 8), "add", 0, 3),
        (TurnedLate(), torch.zeros(2, 3, 20), "relu", 0, 1),
        (TurnedLate(), torch.zeros(2, 3, 20), "permute", 0, 2),
        (Words(), torch.zeros(2, 7, dtype=torch.long), "gather", 0, 2),
        (Words(), torch.zeros(2, 7, dtype=torch.long), "permute", 0, 1),
    ],
    ids=lambda given: (
        type(given).__name__ if isinstance(given, nn.Module) else None if isinstance(given, torch.Tensor) else str(given)
    ),
)
def test_the_axis_of_features_is_what_the_next_layers_say(
    module: nn.Module, x: torch.Tensor, op: str, number: int, axis: int
) -> None:
    graph = ek.load(module, (x,))
    assert features_axis([node.output for node in graph.nodes if node.op.name == op][number]) == axis


@pytest.mark.parametrize("head", [{}, {"pool": 2}, {"channels": 8}, {"stages": (8,)}, {"copy": ("spatial",)}], ids=str)
@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "joint"])
def test_heads_on_features_that_stand_last(head: dict[str, object], freeze: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = graph_of(ChannelsLast(), (2, 1, 8, 8))
    places = [node.output.name for node in graph.nodes if node.op.name in ("add", "permute")]
    at = places[1] if "copy" in head else places[-1]  # (N, C, H, W) is what the module that is copied takes
    training = ek.Training(batch_size=32, validation=0.25)
    step = ek.EarlyExit(at=(at,), head=head, freeze=freeze, epochs=2, max_drop=50.0, training=training)
    exits = step.apply(graph, blobs(200))
    features = {"pool": 48, "channels": 8, "stages": 8}.get(next(iter(head), ""), 12)
    assert exits.state["exits.0.weight"].tensor_shape == (4, features)
    for name in ("exits.0.conv.weight", "exits.0.stage_0.conv.weight"):
        assert name not in exits.state or exits.state[name].tensor_shape == (8, 12, 3, 3)
    x, _ = blobs(64, seed=3)
    for target in ("onnx-fp32", "tflite-fp32"):
        made = ek.build(exits, target, calibration=x, output=tmp_path)
        assert made.error is None, made.error


def test_a_recipe_says_the_same() -> None:
    table = {"step": "early_exit", "at": ["layer1", 0.5], "max_drop": 0.3, "head": {"pool": 4}, "epochs": 3}
    (step,) = parse_steps([table], Path("edgekit.toml"))
    assert step == ek.EarlyExit(at=("layer1", 0.5), max_drop=0.3, head=ek.Head(pool=4), epochs=3)
    (again,) = parse_steps([{"step": "early_exit", **step.options()}], Path("edgekit.toml"))
    assert again == step
    (automatic,) = parse_steps([{"step": "early_exit", "at": "auto", "mean_cost": 0.5}], Path("edgekit.toml"))
    assert automatic == ek.EarlyExit(mean_cost=0.5)
    with pytest.raises(ConfigError, match="one goal"):
        parse_steps([{"step": "early_exit"}], Path("edgekit.toml"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "one goal"),
        ({"max_drop": 0.3, "mean_cost": 0.5}, "one goal"),
        ({"max_drop": 0.3, "at": ()}, "names no place"),
        ({"max_drop": 0.3, "at": (1.5,)}, "shares of cost"),
        ({"max_drop": 0.3, "at": "layer1"}, "is a list"),
        ({"max_drop": 0.3, "freeze": False}, "frozen network"),
        ({"max_drop": 0.3, "score": "luck"}, "unknown score"),
        ({"max_drop": 0.3, "training": ek.Training(validation=0.0)}, "no threshold"),
        ({"max_drop": 0.3, "at": (0.3,), "weights": (1.0,)}, "1 weights for 1 exits"),
        ({"mean_cost": 1.5}, "share above 0"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_written_down(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ek.EarlyExit(**wrong)  # type: ignore[arg-type]


def test_networks_that_cannot_have_exits_are_refused_with_the_reason(network: Graph) -> None:
    step = ek.EarlyExit(at=("first",), epochs=1, max_drop=0.3)
    two = network.copy()
    two.outputs, two.signature = (
        [*two.outputs, two.value("relu")] if "relu" in {v.name for v in two.values()} else two.outputs * 2,
        None,
    )
    with pytest.raises(Unsupported, match="outputs: ") as caught:
        step.apply(two, noisy(50))
    assert "output = " in str(caught.value.hint)
    with pytest.raises(UsageError, match="no value or module is called 'fourth'"):
        ek.EarlyExit(at=("fourth",), epochs=1, max_drop=0.3).apply(network, noisy(50))
    with pytest.raises(UsageError, match="training needs data"):
        step.apply(network)
    merged = network.copy()
    pooled = next(node for node in merged.nodes if node.op.name == "mean").output
    mixed = merged.add(ops.Reshape((Batch(2), 8)), pooled, name="mixed")
    back = merged.add(ops.Reshape((Batch(1), 16)), mixed, name="back")
    for node in list(pooled.users):
        if node is not mixed.producer:
            merged.set_input(node, 0, back)
    merged.sort()
    with pytest.raises(Unsupported, match="samples are not its rows"):
        ek.EarlyExit(at=("mixed",), epochs=1, max_drop=0.3).apply(merged, noisy(50))
    exits = step.apply(network, noisy(600))
    with pytest.raises(Unsupported, match="early exits already"):
        step.apply(exits, noisy(50))


def test_labels_that_are_no_classes_are_refused(network: Graph) -> None:
    x, y = noisy(60)
    with pytest.raises(ek.InputError, match="class"):
        ek.EarlyExit(at=("first",), epochs=1, max_drop=0.3).apply(network, (x, np.eye(4, dtype=np.float32)[y]))
