"""Files for Larq Compute Engine, run in its own interpreter: what is computed on bits is what the simulation computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import edgekit as ek
from edgekit.errors import UsageError
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.larq import binary_layers, why_not
from edgekit.export.tflite.larq.bits import differing, encoded, packed_signs
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.tflite.read import read
from edgekit.ir import Graph, QuantParams
from edgekit.ir.integer.interpreter import Simulator
from edgekit.ir.quantized_data import quantize as to_integers
from edgekit.ir.signs import SIGNS
from edgekit.ir.text import parse
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.larq_environment import VARIABLE, find_python
from edgekit.runtime.litert import Kernels
from tests.compress.binarize.networks import Layers, Pooled, binary
from tests.export.c_binary.test_c_binary import lowered, network
from tests.trained import digits

torch.set_num_threads(1)
needs_engine = pytest.mark.skipif(
    find_python() is None, reason=f"no environment with larq-compute-engine: {VARIABLE} names its Python"
)


def integers_of(graph: Graph, x: np.ndarray, kernels: Kernels) -> tuple[np.ndarray, np.ndarray]:
    """What the engine gives, and what the simulation gives."""
    into, out = graph.inputs[0].quant, graph.outputs[0].quant
    assert into is not None and out is not None
    wanted = Simulator(graph).run([to_integers(torch.from_numpy(x), into)])[0].numpy()
    real = Artifact(export(graph, TfliteOptions(larq=True)), kernels=kernels).run_flat([x])[0]
    return np.rint(real / out.scale[0]) + out.zero_point[0], wanted


def thresholds_of(graph: Graph) -> Graph:
    """The graph cut behind its last sign, whose values no rounding touches."""
    out = graph.copy()
    signs = [node.output for node in out.nodes if node.output.quant is not None and node.output.quant.scale == (1.0,)]
    out.outputs, out.signature = [signs[-1]], None
    out.eliminate_dead()
    return out


@pytest.mark.parametrize("channels", [1, 31, 32, 40])
def test_bit_i_of_a_word_is_one_where_channel_i_is_negative(channels: int) -> None:
    values = np.random.default_rng(0).choice([-3, 3], (5, channels))
    words = packed_signs(values).view(np.uint32)
    bits = (words[:, np.arange(channels) // 32] >> (np.arange(channels) % 32).astype(np.uint32)) & 1
    assert np.array_equal(bits, values < 0) and int(np.bitwise_count(words).sum()) == int((values < 0).sum())


@given(st.integers(1, 300), st.integers(-301, 302))
def test_a_threshold_on_differing_bits_is_that_on_the_sum(terms: int, least: int) -> None:
    differ = np.arange(terms + 1)
    limit = differing(np.array([least]), terms)[0]
    assert np.array_equal(differ > limit, terms - 2 * differ < least)


def test_options_are_a_flexbuffer_map_in_the_order_of_their_names() -> None:
    from flatbuffers import flexbuffers

    data = encoded({"stride_width": 2, "channels_in": 256, "padding": 0})
    assert flexbuffers.Loads(data) == {"channels_in": 256, "padding": 0, "stride_width": 2}
    assert data.index(b"channels_in") < data.index(b"padding") < data.index(b"stride_width")


def test_layers_that_do_not_fit_say_why() -> None:
    module, x = network(0)  # a stride of 2 with a padding of 2 on either side
    made = ek.Binarize(method="bnn", epochs=0).apply(
        ek.load(module, (x[:1],)), ek.Data(train=(x.numpy(), np.zeros(len(x), np.int64)))
    )
    reasons = [why_not(node) for node in binary_layers(lowered(made, x))]
    assert any("pads" in reason for reason in reasons if reason)
    connected = lowered(binary(Layers, "binary_connect", 0), torch.from_numpy(digits()[0][:64]))
    assert {why_not(node) for node in binary_layers(connected)} == {"what it reads are not signs"}


@needs_engine
@pytest.mark.parametrize("kernels", ["default", "builtin"])
@pytest.mark.parametrize(("kind", "method"), [(Pooled, "xnor_net"), (Pooled, "bnn"), (Layers, "bnn")])
def test_signs_are_the_simulations_in_every_kernel(kind: type[nn.Module], method: str, kernels: Kernels) -> None:
    x, _, x_test, _ = digits()
    graph = thresholds_of(lowered(binary(kind, method), torch.from_numpy(x[:256])))
    assert "LceBconv2d" in read(export(graph, TfliteOptions(larq=True))).op_counts()
    got, wanted = integers_of(graph, x_test[:64], kernels)
    assert np.array_equal(got, wanted) and set(np.unique(wanted)) == {-1, 1}


@needs_engine
@pytest.mark.parametrize("seed", [3, 6, *(pytest.param(s, marks=pytest.mark.slow) for s in (5, 8, *range(9, 30)))])
def test_random_chains_differ_by_the_rounding_of_layers_without_a_threshold_alone(seed: int) -> None:
    """Fixed point rounds twice, the engine's float32 once: they differ by one, and so may the layers behind."""
    module, x = network(seed)
    graph = ek.load(module, (x[:1],))
    method = ("bnn", "binary_connect", "xnor_net")[seed % 3]
    made = ek.Binarize(method=method, epochs=0).apply(graph, ek.Data(train=(x.numpy(), np.zeros(len(x), np.int64))))
    got, wanted = integers_of(lowered(made, x), x.numpy(), "builtin")
    assert np.abs(got - wanted).max() <= 1


@needs_engine
@pytest.mark.parametrize(("padding", "activation"), [(0, "relu6"), (1, "relu"), (1, "none")])
def test_an_activation_that_saturation_does_not_give_is_written_behind_the_layer(padding: int, activation: str) -> None:
    torch.manual_seed(0)
    graph = parse(
        "graph g(%x: float32[N,40,5,6])\n@w: float32[12,40,3,3] parameter\n@b: float32[12] parameter\n%s = binary_sign(%x)\n"
        f"%y = conv2d(%s, @w, @b, padding=(({padding}, {padding}), ({padding}, {padding})), activation='{activation}')\n"
        "return %y"
    )
    with torch.no_grad():
        graph.state["w"].tensor.copy_(torch.where(torch.randn(12, 40, 3, 3) >= 0, 0.254, -0.254))
        graph.state["b"].tensor.copy_(torch.randn(12))
    graph.inputs[0].quant = QuantParams("int8", (0.1,), (3,))
    for node, quant in zip(graph.nodes, (SIGNS, QuantParams("int8", (0.117,), (2,))), strict=True):
        node.output.quant = quant
    graph.state["w"].quant = QuantParams("int8", (0.002,), (0,), None, True)
    graph.state["b"].quant = QuantParams("int32", (0.002,), (0,))
    counts = read(export(graph, TfliteOptions(larq=True))).op_counts()
    assert ("MAXIMUM" in counts, "MINIMUM" in counts) == (activation != "none", activation == "relu6")
    got, wanted = integers_of(graph, np.random.default_rng(0).normal(0, 4, (16, 40, 5, 6)).astype(np.float32), "default")
    assert np.abs(got - wanted).max() <= 1 and np.mean(got == wanted) > 0.95 and len(np.unique(wanted)) > 20


class Signal(nn.Module):
    """Convolutions over one dimension, the inner two to become binary, with a pool between signs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(2, 20, 3, padding=1), nn.BatchNorm1d(20), nn.ReLU())
        self.second = nn.Sequential(nn.Conv1d(20, 64, 3, padding=1), nn.BatchNorm1d(64), nn.ReLU(), nn.MaxPool1d(2))
        self.third = nn.Sequential(nn.Conv1d(64, 24, 3, stride=2, padding=1), nn.BatchNorm1d(24), nn.ReLU())
        self.last = nn.Linear(24 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.third(self.second(self.first(x))).flatten(1))


@needs_engine
def test_signals_are_pictures_of_height_one() -> None:
    torch.manual_seed(0)
    x = torch.randn(32, 2, 16)
    made = ek.Binarize(method="bnn", epochs=0).apply(
        ek.load(Signal().eval(), (x[:1],)), ek.Data(train=(x.numpy(), np.zeros(len(x), np.int64)))
    )
    graph = lowered(made, x)
    counts = read(export(graph, TfliteOptions(larq=True))).op_counts()
    assert (counts["LceBconv2d"], counts["LceBMaxPool2d"]) == (2, 1)
    got, wanted = integers_of(graph, x.numpy(), "builtin")
    assert np.abs(got - wanted).max() <= 1
    got, wanted = integers_of(thresholds_of(graph), x.numpy(), "default")
    assert np.array_equal(got, wanted)


@needs_engine
def test_packed_signs_go_from_layer_to_layer_and_weights_take_a_bit() -> None:
    x, _, _, _ = digits()
    file = read(export(lowered(binary(Layers, "bnn"), torch.from_numpy(x[:64])), TfliteOptions(larq=True)))
    names = [operator.name for operator in file.main.operators]
    assert names.count("LceQuantize") == 1 and "LceDequantize" not in names
    filters = [file.main.tensors[op.inputs[1]] for op in file.main.operators if op.name == "LceBconv2d"]
    assert [(t.shape, t.type.name) for t in filters] == [((70, 1, 1, 3), "INT32"), ((48, 1, 1, 3), "INT32")]


@needs_engine
def test_a_build_is_verified_in_the_engine_and_reports_what_is_packed(tmp_path: Path) -> None:
    x, _, x_test, _ = digits()
    build = ek.build(binary(Pooled, "xnor_net"), target="tflite-lce", calibration=x[:256], output=tmp_path, name="net")
    rows = build.report.verification
    assert {row.runtime for row in rows} == {"Larq Compute Engine"} and rows[0].version.startswith("0.16")
    (simulated,) = [row for row in rows if row.against == "simulation"]
    assert simulated.equal_integers is not None and simulated.equal_integers > 0.9 and simulated.top1_agreement == 1.0
    assert simulated.max_abs_error <= 1.01 * build.report.io.outputs[0].scale
    by_name = {layer.name: layer.weight_bytes for layer in build.report.layers if "conv2d" in layer.op}
    assert 4 * (32 * 9 * 1 + 2 * 32) in by_name.values()
    assert ek.run(build.artifact, x_test).shape == (len(x_test), 10)


def test_without_the_engine_a_build_is_refused_with_the_way_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if find_python() is not None:
        pytest.skip("larq-compute-engine is installed beside edgekit")
    x, _, _, _ = digits()
    with pytest.raises(UsageError, match="Larq Compute Engine is not installed") as caught:
        ek.build(binary(Layers, "bnn"), target="tflite-lce", calibration=x[:64], output=tmp_path, name="net")
    assert VARIABLE in str(caught.value.hint) and not (tmp_path / "tflite-lce").exists()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "no-python"))
    with pytest.raises(UsageError, match="there is no Python"):
        find_python()
