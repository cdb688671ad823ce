"""Binary networks trained on: signs stay signs, and after QAT they are fused where the training turned them."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.binarize import application
from edgekit.compress.binarize.absorbing import is_binary
from edgekit.compress.binarize.trained import fuse_trained_thresholds
from edgekit.compress.tuning import Tuned
from edgekit.export.c_binary.compiled import compiler
from edgekit.formats.tflite.read import read
from edgekit.ir import Graph, QuantParams
from edgekit.ir.integer.interpreter import Simulator
from edgekit.ir.signs import SIGNS
from edgekit.ir.text import parse
from tests.compress.binarize.networks import TRAINING, Layers, Pooled, binary, source
from tests.trained import digits

torch.set_num_threads(1)


@cache
def quantized(kind: type[nn.Module], method: str) -> Graph:
    x, y, x_test, y_test = digits()
    data = ek.Data(train=(x, y), evaluate=(x_test, y_test), calibration=x[:128])
    return ek.Recipe([ek.QAT(epochs=1, training=TRAINING)]).apply(binary(kind, method), data)


@pytest.mark.parametrize(
    ("kind", "method", "left"),
    [(Pooled, "xnor_net", 1), pytest.param(Layers, "bnn", 1, marks=pytest.mark.slow)],
)
def test_signs_behind_binary_layers_are_fused_and_every_runtime_gives_what_was_trained(
    kind: type[nn.Module], method: str, left: int, tmp_path: Path
) -> None:
    """The first layer keeps its sign as an op: its trained weights of 8 bits do not fit twice."""
    x, _, _, _ = digits()
    graph = quantized(kind, method)
    assert sum(is_binary(v.tensor) for v in graph.constants() if v.type.rank > 1) == 2, "binary weights stay binary"
    targets = ("tflite-int8", "c-binary") if compiler() else ("tflite-int8",)
    for target in targets:
        build = ek.build(graph, target=target, calibration=x[:64], output=tmp_path / target, name="net")
        trained, *exact = build.report.verification
        assert trained.max_abs_error == 0.0, "XNNPACK gives the values of the training"
        assert all(row.equal_integers == 1.0 for row in exact)
        assert read(build.artifact.read_bytes()).op_counts()["SELECT_V2"] == left


def trained_layer(kind: str, inputs: QuantParams, weight: torch.Tensor, weight_scale: float, output: QuantParams) -> Graph:
    shape, bias = list(weight.shape), torch.linspace(-3, 3, len(weight))
    size = "N,6,5,5" if kind == "conv2d" else "N,40"
    sign = "%s = binary_sign(%x)\n" if inputs == SIGNS else ""
    graph = parse(
        f"graph g(%x: float32[{size}])\n@w: float32{shape} parameter\n@b: float32[{len(weight)}] parameter\n{sign}"
        f"%y = {kind}({'%s' if sign else '%x'}, @w, @b)\n%z = binary_sign(%y)\nreturn %z"
    )
    with torch.no_grad():
        graph.state["w"].tensor.copy_(weight * weight_scale)
        graph.state["b"].tensor.copy_(bias)
    graph.inputs[0].quant = QuantParams("int8", (0.1,), (3,)) if sign else inputs
    for node in graph.nodes:
        node.output.quant = SIGNS if node.op.name == "binary_sign" else output
    graph.state["w"].quant = QuantParams("int8", (weight_scale,), (0,), None, True)
    graph.state["b"].quant = QuantParams("int32", (inputs.scale[0] * weight_scale,), (0,))
    return graph


@pytest.mark.parametrize("kind", ["conv2d", "linear"])
@pytest.mark.parametrize("binary_inputs", [True, False])
def test_the_threshold_is_where_the_rounded_value_turns(kind: str, binary_inputs: bool) -> None:
    torch.manual_seed(0)
    shape = (8, 6, 3, 3) if kind == "conv2d" else (8, 40)
    inputs = SIGNS if binary_inputs else QuantParams("int8", (0.05,), (-7,))
    graph = trained_layer(kind, inputs, torch.randint(0, 2, shape) * 200.0 - 100.0, 0.01, QuantParams("int8", (1.7,), (4,)))
    x = torch.randint(-128, 128, (200, *graph.inputs[0].type.at(1)[1:])).to(torch.int8)
    weight, bias = graph.state["w"].tensor.double().detach(), graph.state["b"].tensor.double().detach()
    real = torch.where(x >= 3, 1.0, -1.0).double() if binary_inputs else (x.double() + 7) * inputs.scale[0]
    sums = torch.conv2d(real, weight) if kind == "conv2d" else real @ weight.T
    steps = (bias / (inputs.scale[0] * 0.01)).round() * inputs.scale[0] * 0.01
    value = (sums + (steps[:, None, None] if kind == "conv2d" else steps)) / 1.7
    wanted = torch.where(value.round() >= 0, 1, -1)
    assert fuse_trained_thresholds(graph) == ["w"]
    graph.verify()
    clear = (value + 0.5).abs() > 1e-6
    assert torch.equal(Simulator(graph).run([x])[0].long()[clear], wanted[clear]) and 0.1 < (wanted > 0).float().mean() < 0.9


def test_weights_that_do_not_fit_twice_keep_their_sign_behind_them() -> None:
    torch.manual_seed(0)
    inputs, output = QuantParams("int8", (0.05,), (-7,)), QuantParams("int8", (1.7,), (4,))
    for largest, fused in ((127, []), (63, ["w"])):
        weight = torch.randint(-largest, largest + 1, (8, 40)).float()
        weight[0, 0] = largest
        graph = trained_layer("linear", inputs, weight, 0.01, output)
        assert fuse_trained_thresholds(graph) == fused


def test_what_the_training_notes_is_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    tune = application.tune

    def noting(*given: object, **named: object) -> Tuned:
        return dataclasses.replace(tune(*given, **named), notes=("the teacher was not compared",))  # type: ignore[arg-type]

    monkeypatch.setattr(application, "tune", noting)
    x, y, _, _ = digits()
    graph = ek.Binarize(epochs=0).apply(source(Pooled), ek.Data(train=(x[:64], y[:64])))
    assert graph.history[-1].notes == ("the teacher was not compared",)


def test_a_binarized_graph_is_not_compared_with_the_floats_it_came_from(tmp_path: Path) -> None:
    """The step costs accuracy, and its record says so: a build compares with what it was given."""
    x, y, _, _ = digits()
    graph = ek.Binarize(epochs=0).apply(source(Pooled), ek.Data(train=(x[:64], y[:64])))
    build = ek.build(graph, target="tflite-fp32", output=tmp_path, name="net")
    assert build.report.verification[0].sqnr_db > 80
