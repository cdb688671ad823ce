"""A build of a slimmable network writes a file for each width, one with all of them, and one packed delivery."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.quantize.dynamic_range import quantize_weights_only
from edgekit.compress.slimmable.extraction import nested_of
from edgekit.compress.slimmable.nested import nest
from edgekit.compress.slimmable.size import Size
from edgekit.compress.slimmable.tying import Within, tie
from edgekit.config import BuildRequest
from edgekit.formats.tflite.read import read
from edgekit.ir import Graph
from edgekit.ir.quantized_data import quantize_constant
from edgekit.passes import EXACT, run_passes
from edgekit.stages.io_types import io_types
from edgekit.stages.precision import lower
from edgekit.stages.preprocessing import prepare
from edgekit.stages.widths import variants
from edgekit.target import Target
from edgekit.train.settings import Training
from tests.train.networks import blobs, graph_of

torch.set_num_threads(1)


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 24, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(),
        )
        self.head = nn.Linear(24, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))  # type: ignore[no-any-return]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Linear(6, 16), nn.LayerNorm(16)
        self.wide, self.back, self.head = nn.Linear(16, 24), nn.Linear(24, 16), nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(self.norm(x + self.back(torch.relu(self.wide(self.norm(x))))))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 24, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(),
        )
        self.head = nn.Conv2d(24, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.gru = nn.Linear(6, 48), nn.GRU(48, 32, batch_first=True)
        self.lstm = nn.LSTM(48, 24, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sequence, _ = self.lstm(torch.relu(self.wide(x)))
        return self.head(self.gru(sequence)[0][:, -1])  # type: ignore[no-any-return]


STEP = ek.Slimmable(widths=(0.5, 1.0), epochs=3, training=Training(optimizer="sgd", lr=0.05, batch_size=32))


@pytest.fixture(scope="module")
def slimmable() -> Graph:
    torch.manual_seed(0)
    graph = STEP.apply(graph_of(Plain(), (2, 1, 8, 8)), ek.Data(train=blobs(256)))
    with torch.no_grad():  # a sign that differs, as training would leave one now and then
        graph.state["slimmable.0_5.body.1.weight"].tensor[2] *= -1
    return graph


def test_each_width_has_a_file_and_the_delivery_makes_them_byte_for_byte(slimmable: Graph, tmp_path: Path) -> None:
    x, y = blobs(96, seed=5)
    builds = ek.build(slimmable, ["tflite-int8"], calibration=x, evaluate=(x, y), output=tmp_path)
    assert [build.target for build in builds] == ["tflite-int8", "tflite-int8-0.5"]
    assert all(build.error is None and build.artifact.is_file() for build in builds)
    folder = tmp_path / "tflite-int8-sizes"
    facts = json.loads((folder / "sizes.json").read_text())
    assert [row["name"] for row in facts["sizes"]] == ["1", "0.5"] and facts["chosen"] == "1"
    small = builds[1].artifact.read_bytes()
    assert ek.unpack(folder / "Plain.ekz", width=0.5) == small  # the largest was compared when it was packed
    packed = facts["packed"]
    assert packed["bytes"] < packed["largest_alone"] + 0.25 * len(zlib.compress(small, 9))
    assert sum(packed["parts"].values()) == packed["bytes"]
    assert sum(packed["parts_of_largest"].values()) == packed["largest_alone"]
    model = read((folder / "Plain.tflite").read_bytes())
    assert [signature.key for signature in model.signatures] == ["1", "0.5"]
    assert "packed in memory" in facts["signatures"]["warning"]
    narrow = read(builds[1].artifact.read_bytes()).main
    wide = {tensor.shape: np.frombuffer(tensor.data or b"", np.int8) for tensor in model.main.tensors if tensor.data}
    found = next(tensor for tensor in narrow.tensors if tensor.shape == (12, 1, 1, 8))
    rows = wide[24, 1, 1, 16].reshape(24, 16)[:12, :8]
    mine = np.frombuffer(found.data or b"", np.int8).reshape(12, 8)
    assert all((a == b).all() or (a == -b).all() for a, b in zip(mine, rows, strict=True))


def test_what_a_small_size_was_made_to_lose_is_no_loss_of_its_file(slimmable: Graph, tmp_path: Path) -> None:
    poor = slimmable.copy()
    for name in ("slimmable.0_5.body.7.weight", "slimmable.0_5.body.7.bias"):
        poor.state[name].data = torch.zeros_like(poor.state[name].tensor)
    x, y = blobs(96, seed=5)
    whole, half = ek.build(poor, ["onnx-fp32"], evaluate=(x, y), max_drop=1.0, output=tmp_path)
    assert whole.error is None and half.error is None and half.artifact.is_file()
    top, low = whole.report.evaluation[0], half.report.evaluation[0]
    assert top.source > low.source + 0.1 and low.source == low.artifact
    assert not half.report.warnings and any("no loss of the file" in note for note in half.report.source.notes)


def test_a_signature_of_the_common_file_answers_as_the_widths_own_file(slimmable: Graph, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from edgekit.export.tflite.exporter import export
    from edgekit.export.tflite.several import with_signatures

    files = {f"{w:g}": export(run_passes(ek.slimmed(slimmable, w), EXACT)[0]) for w in (1.0, 0.5)}
    content, _ = with_signatures(files)
    x = blobs(1, seed=9)[0].transpose(0, 2, 3, 1).copy()
    both = Interpreter(model_content=content)
    for name, file in files.items():
        alone = Interpreter(model_content=file)
        (key,) = alone.get_signature_list()
        (given,) = alone.get_signature_list()[key]["inputs"]
        want = alone.get_signature_runner(key)(**{given: x})
        got = both.get_signature_runner(name)(**{given: x})
        assert all(np.array_equal(got[output], want[output]) for output in want)


class Looped(nn.Module):
    """A GRU, which TFLite files have as a loop: three subgraphs."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(6, units, batch_first=True), nn.Linear(units, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the last step."""
        return self.head(self.gru(x)[0][:, -1])  # type: ignore[no-any-return]


def test_networks_with_loops_share_a_file_too() -> None:
    from ai_edge_litert.interpreter import Interpreter

    from edgekit.export.tflite.exporter import export
    from edgekit.export.tflite.several import with_signatures

    torch.manual_seed(0)
    graphs = [ek.load(Looped(units).eval(), (torch.zeros(2, 20, 6),)) for units in (8, 4)]
    files = {name: export(run_passes(g, EXACT)[0]) for name, g in zip(("1", "0.5"), graphs, strict=True)}
    content, model = with_signatures(files)
    assert len(model.subgraphs) == 6 and [s.subgraph for s in model.signatures] == [0, 3]
    x = torch.randn(1, 20, 6)
    both = Interpreter(model_content=content)
    for name, graph in zip(files, graphs, strict=True):
        with torch.no_grad():
            want = graph.module().eval()(x).numpy()
        (got,) = both.get_signature_runner(name)(x=x.numpy()).values()
        assert abs(got - want).max() < 1e-5


def test_float_weights_become_products_that_are_within_a_rounding_of_their_own(slimmable: Graph) -> None:
    nested = nest(slimmable, Size(0.5))
    whole, small = (run_passes(g, EXACT)[0] for g in (slimmable, nested.filled(slimmable)))
    tied = tie(small, Within(nested.weights, whole, whole))
    assert not tied.apart and len(tied.layers) == 4
    for before, after in zip(small.nodes, tied.graph.nodes, strict=True):
        if after.name in tied.layers:
            a, b = before.input(1).tensor.detach(), after.input(1).tensor.detach()
            assert (a - b).abs().max() <= 1e-6 * a.abs().max()


@pytest.mark.parametrize("target", ["tflite-int8", "onnx-int8", "tflite-fp32"])
def test_transposed_convolutions_are_parts_of_the_largest_networks_too(target: str, tmp_path: Path) -> None:
    """Their outputs lie along the second axis: rows of it that were taken for outputs are no multiples."""
    torch.manual_seed(0)
    x, _ = blobs(96)
    training = Training(optimizer="sgd", lr=0.05, batch_size=32)
    step = ek.Slimmable(widths=(0.5, 1.0), epochs=1, heads="shared", training=training)
    labels = (x[:, 0] > 0).astype(np.int64)
    whole = step.apply(graph_of(Decoder(), (2, 1, 8, 8)), ek.Data(train=(x, labels)))
    with torch.no_grad():
        whole.state["slimmable.0_5.body.4.weight"].tensor[2] *= -1
    nested = nested_of(whole, Size(0.5))
    large, small = (run_passes(g, EXACT)[0] for g in (whole, nested.filled(whole)))
    tied = tie(small, Within(nested.weights, large, large))
    assert not tied.apart and len(tied.layers) == 3
    builds = ek.build(whole, [target], calibration=x[:32], output=tmp_path)
    assert all(build.error is None for build in builds)
    folder = tmp_path / f"{target}-sizes"
    narrow = builds[1].artifact.read_bytes()
    assert ek.unpack(folder / "Decoder.ekz", width=0.5) == narrow
    packed = json.loads((folder / "sizes.json").read_text())["packed"]
    weights = 8 * 12 * 16 * (4 if target == "tflite-fp32" else 1)
    assert packed["bytes"] - packed["largest_alone"] < 0.4 * weights  # which compression hardly makes smaller


@pytest.fixture(scope="module")
def recurrent() -> Graph:
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(0, 1, (64, 5, 6)).astype(np.float32)
    step = ek.Slimmable(widths=(0.5, 1.0), epochs=1, heads="shared", training=Training(optimizer="sgd", lr=0.05, batch_size=32))
    return step.apply(graph_of(Recurrent(), (2, 5, 6)), ek.Data(train=(x, (x.sum((1, 2)) > 0).astype(np.int64))))


@pytest.mark.parametrize("target", ["tflite-int8", "onnx-int8", "tflite-dynamic", "onnx-fp32"])
def test_recurrent_layers_are_parts_of_the_largest_networks_too(recurrent: Graph, target: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(0, 1, (32, 5, 6)).astype(np.float32)
    builds = ek.build(recurrent, [target], calibration=x, output=tmp_path)
    assert all(build.error is None for build in builds)
    folder = tmp_path / f"{target}-sizes"
    assert ek.unpack(folder / "Recurrent.ekz", width=0.5) == builds[1].artifact.read_bytes()
    packed = json.loads((folder / "sizes.json").read_text())["packed"]
    matrices = (2 * 4 * 12 * (24 + 12) + 3 * 16 * (24 + 16)) * (4 if target == "onnx-fp32" else 1)
    assert packed["bytes"] - packed["largest_alone"] < 0.5 * matrices  # which compression hardly makes smaller


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.lstm, self.head = nn.Linear(6, 16), nn.LSTM(16, 16, batch_first=True), nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.lstm(torch.relu(self.wide(x)))[0])[0][:, -1])  # type: ignore[no-any-return]


def test_a_recurrent_layer_that_is_called_twice_has_the_largest_networks_integers() -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(0, 1, (64, 5, 6)).astype(np.float32)
    step = ek.Slimmable(widths=(0.5, 1.0), epochs=1, heads="shared", training=Training(optimizer="sgd", lr=0.05, batch_size=32))
    whole = step.apply(graph_of(Twice(), (2, 5, 6)), ek.Data(train=(x, (x.sum((1, 2)) > 0).astype(np.int64))))
    nested = nest(whole, Size(0.5))
    large, small = (run_passes(g, EXACT)[0] for g in (whole, nested.filled(whole)))
    stored = quantize_weights_only(large, smallest=1)
    tied = tie(small, Within(nested.weights, large, stored))
    made = quantize_weights_only(tied.graph, smallest=1, least_scales=tied.scales)
    for name in ("lstm.weight_ih_l0", "lstm.weight_hh_l0"):
        theirs, mine = (
            (v.quant, quantize_constant(v.tensor, v.quant)) for v in (stored.state[name], made.state[name]) if v.quant
        )
        assert set(mine[0].scale) == set(theirs[0].scale)
        assert torch.equal(mine[1], nested.weights[name](theirs[1]))


def test_weights_that_are_too_few_to_be_integers_are_not_rounded_to_the_largest_networks(recurrent: Graph) -> None:
    """Half of a layer of 288 weights stays float beside the whole one's integers where 200 are the fewest."""
    nested = nest(recurrent, Size(0.5))
    whole, small = (run_passes(g, EXACT)[0] for g in (recurrent, nested.filled(recurrent)))
    stored = quantize_weights_only(whole, smallest=200)
    few = {v.name for v in quantize_weights_only(small, smallest=200).constants() if v.quant is not None}
    assert stored.state["wide.weight"].quant is not None and "wide.weight" not in few
    tied = tie(small, Within(nested.weights, whole, stored), few)
    assert [n.input(1).name for n in tied.graph.nodes if n.name in tied.apart] == ["wide.weight"]
    assert "wide.weight" not in tied.scales
    assert torch.equal(tied.graph.state["wide.weight"].tensor, small.state["wide.weight"].tensor)
    assert {"lstm.weight_ih_l0", "lstm.weight_hh_l0", "gru.weight_ih_l0", "gru.weight_hh_l0"} <= set(tied.scales)


def test_norms_keep_their_means_so_that_the_weights_before_them_stay_parts() -> None:
    """A mean that is taken out of the weights is another at each width: then no row is a multiple of the largest network's."""
    torch.manual_seed(0)
    training = Training(optimizer="sgd", lr=0.05, batch_size=32)
    step = ek.Slimmable(widths=(0.5, 1.0), epochs=1, heads="shared", training=training)
    x = np.random.default_rng(0).normal(0, 1, (64, 6)).astype(np.float32)
    whole = step.apply(graph_of(Residual(), (2, 6)), ek.Data(train=(x, (x.sum(1) > 0).astype(np.int64))))
    target = Target.load("tflite-fp32")
    request = BuildRequest(model="net", root=Path(), targets=(target.name,), output=Path("out"))
    for several in (False, True):
        tied = []
        for variant in variants(whole, target):
            types = io_types(variant.graph, target, request, {})
            lowered = lower(
                prepare(variant.graph, {}, bytes_in=()), target, None, request, types, None, None, variant.within, several
            )
            variant.family.keep(lowered)
            tied.append(lowered.tied)
        assert tied[0] is None and tied[1] is not None
        assert (tied[1].apart == ()) == several and len(tied[1].layers) + len(tied[1].apart) == 4


def test_a_last_layer_that_is_a_widths_own_is_the_one_that_is_not_made_of_the_largest_networks() -> None:
    torch.manual_seed(0)
    step = ek.Slimmable(widths=(0.5, 1.0), epochs=1, heads="own", training=Training(optimizer="sgd", lr=0.05, batch_size=32))
    whole = step.apply(graph_of(Plain(), (2, 1, 8, 8)), ek.Data(train=blobs(96)))
    nested = nested_of(whole, Size(0.5))
    large, small = (run_passes(g, EXACT)[0] for g in (whole, nested.filled(whole)))
    tied = tie(small, Within(nested.weights, large, large))
    assert len(tied.layers) == 3 and len(tied.apart) == 1
    left = next(node for node in tied.graph.nodes if node.name in tied.apart)
    assert left.input(1).tensor.shape == (4, 12) and left.input(1).name == "head.weight"


def test_weights_that_are_no_part_of_the_largest_ones_are_left_alone(slimmable: Graph) -> None:
    nested = nest(slimmable, Size(0.5))
    whole, small = (run_passes(g, EXACT)[0] for g in (slimmable, nested.filled(slimmable)))
    weight = next(node.input(1) for node in small.nodes if node.name == "head" or node is small.nodes[-1])
    weight.data = torch.randn(weight.tensor.shape, generator=torch.Generator().manual_seed(0))
    tied = tie(small, Within(nested.weights, whole, whole))
    assert len(tied.apart) == 1
    left = next(node for node in tied.graph.nodes if node.name in tied.apart)
    assert torch.equal(left.input(1).tensor, weight.tensor)


def test_a_build_says_when_another_step_came_behind(slimmable: Graph, tmp_path: Path) -> None:
    later = ek.Prune(ratio=0.25).apply(slimmable)
    with pytest.raises(ek.UsageError, match="came behind 'slimmable'"):
        ek.build(later, "tflite-fp32", output=tmp_path)
