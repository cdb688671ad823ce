"""Signs fused into the integer layers before them: exact sums, exact thresholds, one answer in every runtime."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import edgekit as ek
from edgekit.compress.binarize.lowering import lower_binary
from edgekit.compress.binarize.thresholds import fuse_thresholds
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import BuiltinOperator
from edgekit.ir import Graph, QuantParams, ops, simulate
from edgekit.ir.integer.interpreter import Simulator
from edgekit.ir.signs import SIGNS, is_thresholded
from edgekit.ir.text import parse
from edgekit.runtime.artifact import Artifact
from tests.compress.binarize.networks import TRAINING, Layers, Pooled, binary
from tests.trained import digits

torch.set_num_threads(1)
SLOW = [pytest.param(Pooled, method, marks=pytest.mark.slow) for method in ("binary_connect", "bnn", "react_net")]


def layer(channels: int, padding: int, seed: int, inputs: QuantParams | None = None) -> Graph:
    """A binary convolution with scales of both signs, zero and none, and offsets that put many sums on the threshold."""
    random = torch.Generator().manual_seed(seed)
    pads = f"(({padding}, {padding}), ({padding}, {padding}))"
    graph = parse(
        f"graph g(%x: float32[N,{channels},5,6])\n@w: float32[8,{channels},3,3] parameter\n@b: float32[8] parameter\n"
        f"%s = binary_sign(%x)\n%y = conv2d(%s, @w, @b, padding={pads})\n%z = binary_sign(%y)\nreturn %z"
    )
    scale = torch.tensor([0.5, -0.25, 0.3, -0.7, 0.0, 0.0, 1.0, 1e-3])
    offset = torch.tensor([1.0, 0.75, -0.9, 1.4, -0.1, 0.0, 1e9, -5e-4])
    signs = torch.where(torch.randn(8, channels, 3, 3, generator=random) >= 0, 1.0, -1.0)
    with torch.no_grad():
        graph.state["w"].tensor.copy_(signs * scale.reshape(8, 1, 1, 1))
        graph.state["b"].tensor.copy_(offset)
    x, s, y, z = graph.inputs[0], *(node.output for node in graph.nodes)
    x.quant, s.quant, y.quant, z.quant = QuantParams("int8", (0.1,), (3,)), SIGNS, QuantParams("int8", (0.4,), (0,)), SIGNS
    magnitudes = tuple((scale.abs() / 127).clamp(min=1e-9).tolist())
    graph.state["w"].quant = QuantParams("int8", magnitudes, (0,) * 8, 0, True)
    graph.state["b"].quant = QuantParams("int32", magnitudes, (0,) * 8, 0)
    return graph


@pytest.mark.parametrize(("channels", "padding"), [(3, 1), (4, 1), (3, 0), (4, 0)])
def test_the_threshold_is_that_of_exact_arithmetic(channels: int, padding: int) -> None:
    graph = layer(channels, padding, seed=channels + padding)
    weight, offset = (graph.state[name].tensor.detach().clone() for name in ("w", "b"))
    assert fuse_thresholds(graph) == ["w"]
    graph.verify()
    node = graph.nodes[-1]
    x = torch.randint(-128, 128, (40, channels, 5, 6)).to(torch.int8)
    got = Simulator(graph).run([x])[0]
    signs = torch.where(x >= 3, 1.0, -1.0)
    sums = functional.conv2d(signs, torch.where(weight > 0, 1.0, torch.where(weight < 0, -1.0, 0.0)), padding=padding).long()
    for channel in range(8):
        s = Fraction(float(weight[channel].abs().max()))
        b = Fraction(float(offset[channel]))
        table = {n: 1 if s * n + b >= 0 else -1 for n in sums[:, channel].unique().tolist()}
        wanted = torch.tensor([table[n] for n in sums[:, channel].flatten().tolist()])
        assert torch.equal(got[:, channel].flatten().long(), wanted), channel
    assert is_thresholded(node)
    assert float(node.input(1).tensor.abs().max()) == (2.0 if padding and channels % 2 else 1.0)


def test_a_layer_of_8_bit_inputs_is_compared_in_its_accumulator() -> None:
    torch.manual_seed(0)
    graph = parse(
        "graph g(%x: float32[N,20])\n@w: float32[6,20] parameter\n@b: float32[6] parameter\n"
        "%y = linear(%x, @w, @b)\n%z = binary_sign(%y)\nreturn %z"
    )
    with torch.no_grad():
        for name in "wb":
            graph.state[name].tensor.normal_()
    x = torch.randn(500, 20)
    graph.inputs[0].quant, graph.nodes[0].output.quant = QuantParams("int8", (0.03,), (-7,)), QuantParams("int8", (0.1,), (0,))
    graph.nodes[1].output.quant = SIGNS
    graph.state["w"].quant = QuantParams("int8", (0.03,), (0,), None, True)
    weight, offset = (graph.state[name].tensor.detach().clone() for name in "wb")
    fuse_thresholds(graph)
    real = ((x / 0.03).round() - 7).clamp(-128, 127)
    exact = functional.linear((real + 7) * 0.03, weight, offset)
    got = simulate(graph, x)
    decided = exact.abs() > 0.5
    assert torch.equal(got[decided], torch.where(exact >= 0, 1.0, -1.0)[decided]) and float(decided.float().mean()) > 0.8
    assert set(got.unique().tolist()) == {-1.0, 1.0}
    integers = (graph.nodes[0].input(1).tensor * 0.03).round()
    assert bool((integers.remainder(2) == 0).all()) and float(integers.abs().max()) == 126


@pytest.mark.parametrize(("kind", "method"), [(Pooled, "xnor_net"), (Layers, "binary_connect"), *SLOW])
def test_every_method_is_built_and_equals_the_simulation(kind: type, method: str, tmp_path: Path) -> None:
    x, _, x_test, y_test = digits()
    graph = binary(kind, method)
    build = ek.build(graph, target="tflite-binary", calibration=x[:256], evaluate=(x_test, y_test), output=tmp_path, name="net")
    simulation = next(row for row in build.report.verification if row.against == "simulation")
    assert simulation.equal_integers == 1.0 and not [row for row in build.report.verification if not row.passed]
    (scored,) = [row for row in build.report.evaluation if row.metric == "top1"]
    assert scored.artifact > scored.source - 0.02


def test_default_kernels_and_onnx_runtime_give_the_simulations_integers(tmp_path: Path) -> None:
    x, _, x_test, _ = digits()
    graph = binary(Layers, "bnn")
    built = ek.build(graph, target=["tflite-int8", "onnx-int8"], calibration=x[:256], output=tmp_path, name="net")
    outputs = [ek.run(build.artifact, x_test) for build in built]
    assert np.array_equal(*outputs)


def test_linear_layers_are_packed_to_2_bits_and_right_in_all_kernels(tmp_path: Path) -> None:
    x, _, x_test, _ = digits()
    graph = binary(Layers, "bnn")
    small, large = ek.build(graph, target=["tflite-binary", "tflite-int8"], calibration=x[:256], output=tmp_path, name="net")
    saved = large.artifact.stat().st_size - small.artifact.stat().st_size
    # 96 x 70 weights behind a sign before a sign: 2 bits; 70 x 48 behind a sign whose sums are numbers: 4 bits.
    assert saved >= 96 * 70 * 6 // 8 + 70 * 48 * 4 // 8 - 600
    content = small.artifact.read_bytes()
    reference = Artifact(content, kernels="reference").run(x_test)
    assert np.array_equal(Artifact(content).run(x_test), reference)
    assert np.mean(Artifact(content, kernels="builtin").run(x_test) == reference) > 0.999


def pointwise() -> Graph:
    """Binary 1x1 convolutions between two signs, with an odd number of channels, and before 8-bit values."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(1, 33, 3, padding=1), nn.BatchNorm2d(33), nn.ReLU()]
    for inputs, outputs in ((33, 48), (48, 20)):
        layers += [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Conv2d(20, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 10)).eval()
    graph = ek.load(model, (torch.zeros(1, 1, 8, 8),))
    x, y, _, _ = digits()
    step = ek.Binarize(method="bnn", epochs=2, training=TRAINING, layers=("3", "6"))
    return ek.Recipe([step]).apply(graph, ek.Data(train=(x, y)))


def test_pointwise_convolutions_are_packed_as_linear_layers_and_right_in_all_kernels(tmp_path: Path) -> None:
    x, _, x_test, _ = digits()
    build = ek.build(pointwise(), target="tflite-binary", calibration=x[:256], output=tmp_path, name="net")
    (row,) = [row for row in build.report.verification if row.against == "simulation"]
    assert row.equal_integers == 1.0
    (noted,) = [info for info in build.report.passes if info.name == "binary_pointwise_as_linear"]
    assert noted.rewrites == 2
    file = read(build.artifact.read_bytes())
    dense = [op for op in file.main.operators if op.code == BuiltinOperator.FULLY_CONNECTED]
    assert [file.main.tensors[op.inputs[1]].type.name for op in dense] == ["INT2", "INT4", "INT8"]
    assert "TRANSPOSE" not in file.op_counts()
    reference = Artifact(build.artifact, kernels="reference").run(x_test[:64])
    for kernels in ("default", "builtin"):
        assert np.abs(Artifact(build.artifact, kernels=kernels).run(x_test[:64]) - reference).max() <= 1.01 * _step(build)


def _step(build: ek.Build) -> float:
    scale = build.report.io.outputs[0].scale
    assert scale is not None
    return scale


def test_a_sign_behind_a_permutation_is_fused_into_the_linear_layer_before_it() -> None:
    graph = parse(
        "graph g(%x: float32[N,4,5])\n@w: float32[3,5] parameter\n@b: float32[3] parameter\n%s = binary_sign(%x)\n"
        "%y = linear(%s, @w, @b)\n%p = permute(%y, dims=(0, 2, 1))\n%z = binary_sign(%p)\nreturn %z"
    )
    with torch.no_grad():
        graph.state["w"].tensor.copy_(torch.where(torch.randn(3, 5) >= 0, 0.5, -0.5))
        graph.state["b"].tensor.copy_(torch.tensor([0.4, -0.7, 1.5]))
    eight, third = QuantParams("int8", (0.1,), (3,)), QuantParams("int8", (0.5 / 127,), (0,), None, True)
    s, y, p, z = (node.output for node in graph.nodes)
    graph.inputs[0].quant, s.quant, y.quant, p.quant, z.quant = eight, SIGNS, eight, eight, SIGNS
    graph.state["w"].quant, graph.state["b"].quant = third, QuantParams("int32", (0.5 / 127,), (0,))
    x = torch.randint(-128, 128, (50, 4, 5)).to(torch.int8)
    wanted = torch.where(torch.where(x >= 3, 1.0, -1.0) @ graph.state["w"].tensor.T + graph.state["b"].tensor >= 0, 1, -1)
    lower_binary(graph, packed=True)
    graph.verify()
    assert [node.op.name for node in graph.nodes] == ["binary_sign", "linear", "permute"]
    assert torch.equal(Simulator(graph).run([x])[0].long(), wanted.permute(0, 2, 1))
    assert graph.state["w"].quant is not None and graph.state["w"].quant.dtype == "int2"


def test_a_graph_without_binary_layers_stays_as_it_is() -> None:
    graph = layer(4, 0, 0)
    graph.nodes[0].op, graph.nodes[2].op = ops.Abs(), ops.Abs()
    before = graph.text()
    lower_binary(graph, packed=True)
    assert graph.text() == before
