"""Quantised ops in the QDQ form give the fake-quantised graph's numbers, and ONNX Runtime computes them on integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from edgekit.export.onnx import export
from edgekit.ir import N, ops
from edgekit.ir.quant import QuantParams
from edgekit.runtime.onnx_optimized import optimized_operators
from tests.export.onnx.one_op import Input, checked, one_op, randn, reference, run_many, samples
from tests.export.onnx.scales import quantize

IMAGE, SIGNAL, ROWS = "float32[N,4,9,8]", "float32[N,4,16]", "float32[N,6]"

#: Operators at the ends of every file.
ENDS = {"QuantizeLinear", "DequantizeLinear"}


@dataclass(frozen=True)
class Case:
    """One op, the operators that ONNX Runtime 1.31 executes for it, how many integers the results may differ by,
    and whether many lie halfway between two integers, which kernels round either way."""

    op: ops.Op
    inputs: tuple[Input, ...]
    runs: set[str]
    name: str
    apart: int = 1
    ties: bool = False


def case(op: ops.Op, *inputs: Input, runs: str, **kwargs: Any) -> Case:
    return Case(op, inputs, set(runs.split()), f"{op} {inputs[0]}", **kwargs)


#: On integers. The Transposes are the runtime's own change of layout to channels last.
INTEGER = [
    case(ops.Conv2d(), IMAGE, randn(5, 4, 3, 3), randn(5), runs="QLinearConv Transpose"),
    case(
        ops.Conv2d(padding=((0, 1), (2, 1)), stride=(2, 2), activation="relu"),
        IMAGE,
        randn(5, 4, 3, 3),
        runs="QLinearConv Transpose",
    ),
    case(ops.Conv2d(groups=4, activation="relu6"), IMAGE, randn(4, 1, 3, 3), randn(4), runs="QLinearConv Transpose"),
    case(ops.Conv1d(padding=((1, 1),), activation="relu"), SIGNAL, randn(5, 4, 3), randn(5), runs="QLinearConv Transpose"),
    case(ops.Linear(), ROWS, randn(5, 6), randn(5), runs="QGemm"),
    case(ops.Linear(activation="relu"), ROWS, randn(5, 6), runs="QGemm"),
    case(ops.Linear(activation="relu"), "float32[N,3,6]", randn(5, 6), randn(5), runs="Reshape QGemm"),
    case(ops.Linear(), "float32[N,2,3,6]", randn(5, 6), runs="Reshape QGemm"),
    case(ops.Matmul(), "float32[N,3,6]", "float32[N,6,4]", runs="QLinearMatMul"),
    case(ops.Matmul(transpose_b=True), "float32[N,3,6]", "float32[N,4,6]", runs="Transpose QLinearMatMul"),
    case(ops.Matmul(transpose_b=True), "float32[N,3,6]", randn(4, 6), runs="QLinearMatMul"),
    case(ops.Add(), IMAGE, IMAGE, runs="QLinearAdd"),
    case(ops.Add(activation="relu"), IMAGE, IMAGE, runs="QLinearAdd"),
    case(ops.Mul(), IMAGE, IMAGE, runs="QLinearMul"),
    case(ops.Mul(), IMAGE, randn(4, 1, 1), runs="QLinearMul"),
    case(ops.Add(), IMAGE, torch.tensor(0.5), runs="QLinearAdd"),
    case(ops.LeakyRelu(0.1), IMAGE, runs="QLinearLeakyRelu"),
    case(ops.Sigmoid(), IMAGE, runs="QLinearSigmoid"),
    case(ops.Softmax(), ROWS, runs="QLinearSoftmax"),
    case(ops.MaxPool2d((3, 3), (2, 2), (1, 1), (1, 1), True), IMAGE, runs="MaxPool"),
    case(ops.AvgPool2d((2, 2), (2, 2), (0, 0)), IMAGE, runs="QLinearAveragePool", ties=True),
    case(ops.AvgPool2d((3, 3), (2, 2), (1, 1), True, False), IMAGE, runs="QLinearAveragePool", ties=True),
    case(ops.Mean((2, 3)), IMAGE, runs="QLinearGlobalAveragePool Reshape"),
    case(ops.Mean((2,), keepdim=True), SIGNAL, runs="QLinearGlobalAveragePool"),
    case(ops.AdaptiveAvgPool2d((1, 1)), IMAGE, runs="QLinearGlobalAveragePool"),
    case(ops.Concat(1), IMAGE, "float32[N,2,9,8]", runs="QLinearConcat"),
    case(ops.Reshape((N, 288)), IMAGE, runs="Reshape", apart=0),
    case(ops.Permute((0, 2, 3, 1)), IMAGE, runs="Transpose", apart=0),
    case(ops.Split(1, (1, 2, 3)), ROWS, runs="Split", apart=0),
    case(ops.Slice((0, 1, 0, 2), (N, 3, 9, 8), (1, 1, 2, 3)), IMAGE, runs="Slice", apart=0),
    case(ops.Expand((N, 3, 5)), "float32[N,1,5]", runs="Expand", apart=0),
    case(ops.Tile((1, 2, 3)), "float32[N,3,5]", runs="Tile", apart=0),
    case(ops.Flip((1, 3)), IMAGE, runs="Slice", apart=0),
    case(ops.Gather(1), IMAGE, torch.tensor([2, 0, 0]), runs="Gather", apart=0),
    case(ops.Resize((18, 16)), IMAGE, runs="Resize", apart=0),
    case(ops.PixelShuffle(2), "float32[N,8,3,4]", runs="DepthToSpace", apart=0),
    case(ops.Identity(), IMAGE, runs=""),
]

#: In float between integers, because ONNX Runtime has no kernel on integers for them: the numbers are right all the same.
FLOAT = [
    case(ops.Pad(((0, 0), (1, 2), (0, 0), (3, 0))), IMAGE, runs="Pad", apart=0),
    case(ops.Pad(((0, 0), (1, 2), (0, 0), (3, 0)), value=0.7), IMAGE, runs="Pad", apart=0),
    case(ops.ConvTranspose2d(stride=(2, 2)), IMAGE, randn(4, 5, 3, 3), randn(5), runs="ConvTranspose"),
    case(ops.ConvTranspose2d(groups=2), IMAGE, randn(4, 3, 3, 3), randn(6), runs="ConvTranspose"),
    case(ops.Sub(), IMAGE, IMAGE, runs="Sub"),
    case(ops.Maximum(), IMAGE, IMAGE, runs="Max"),
    case(ops.Tanh(), IMAGE, runs="Tanh"),
    case(ops.Hardswish(), IMAGE, runs="HardSigmoid Mul"),
    case(ops.Mean((1,)), "float32[N,5,6]", runs="ReduceMean"),
    case(ops.Sum((1,)), "float32[N,5,6]", runs="ReduceSum"),
    case(ops.Resize((18, 16), "bilinear"), IMAGE, runs="Resize"),
    case(ops.Pad(((0, 0), (0, 0), (1, 2), (3, 0)), mode="reflect"), IMAGE, runs="Pad", apart=0),
    case(ops.LayerNorm(), ROWS, randn(6), randn(6), runs="LayerNormalization"),
    case(
        ops.Attention(), "float32[N,2,5,8]", "float32[N,2,7,8]", "float32[N,2,7,6]", runs="FusedMatMul MatMul Softmax Transpose"
    ),
    case(ops.Prelu(), IMAGE, randn(4), runs="PRelu Reshape"),
]


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("given", [*INTEGER, *FLOAT], ids=lambda given: given.name)
def test_a_quantised_op_gives_the_fake_quantised_numbers(given: Case, unsigned: bool) -> None:
    graph = one_op(given.op, *given.inputs)
    calls = [samples(graph, batch) for batch in (1, 3)]
    quantize(graph, calls)
    model = export(graph, unsigned=unsigned)
    checked(model)
    for inputs, results in zip(calls, run_many(model, calls), strict=True):
        for value, want, got in zip(graph.outputs, reference(graph, inputs), results, strict=True):
            assert value.quant is not None and got.dtype == torch.float32
            steps = ((got - want) / value.quant.scale[0]).abs()
            assert float(steps.max()) <= given.apart + 0.01
            assert float((steps > 0.5).float().mean()) <= (0.0 if not given.apart else 0.3 if given.ties else 0.05)
    assert set(optimized_operators(model, as_on_arm=not unsigned)) - ENDS == given.runs


def test_an_activation_that_the_integers_do_not_imply_keeps_the_convolution_on_integers() -> None:
    graph = one_op(ops.Conv2d(activation="relu"), IMAGE, randn(5, 4, 3, 3), randn(5))
    calls = [samples(graph, 3)]
    quantize(graph, calls)
    graph.outputs[0].quant = QuantParams("int8", (0.1,), (-7,))  # room below zero that relu must not use
    model = export(graph)
    (got,), want = run_many(model, calls)[0], reference(graph, calls[0])[0]
    assert float((got - want).abs().max()) < 0.101 and float(got.min()) == 0
    assert optimized_operators(model)["QLinearConv"] == 1
