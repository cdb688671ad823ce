"""Every op of the integer table against the op's own float meaning, with all the attributes that an op can have."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from edgekit.ir import Graph, N, QuantParams, Simulator, TensorType, Value, ops
from edgekit.ir.integer.nodes import KERNELS
from edgekit.ir.quantized_data import dequantize

Q = QuantParams("int8", (0.05,), (-13,))
SOFTMAX, SIGMOID, TANH = (QuantParams("int8", (s,), (z,)) for s, z in ((1 / 256, -128), (1 / 256, -128), (1 / 128, 0)))


@dataclass
class Case:
    """One node: its op, the shapes of its activations and constants, and the output's parameters (the input's if None)."""

    op: ops.Op
    shapes: tuple[tuple[int, ...], ...] = ((3, 8, 8),)
    constants: tuple[tuple[int, ...] | None, ...] = ()
    output: QuantParams | None = None
    #: Steps of the output scale by which the result may differ from the float meaning.
    steps: float = 0.0
    positive: bool = False


WIDE = QuantParams("int8", (0.25,), (5,))
CASES = [
    Case(ops.Conv2d((2, 1), ((1, 0), (2, 1)), (1, 2)), constants=((6, 3, 3, 3), (6,)), output=WIDE, steps=1),
    Case(
        ops.Conv2d(padding=((1, 1), (1, 1)), groups=3, activation="relu6"),
        constants=((6, 1, 3, 3), None),
        output=WIDE,
        steps=1,
    ),
    Case(ops.Conv1d((2,), ((1, 2),), (2,), activation="relu"), ((3, 17),), ((4, 3, 3), (4,)), WIDE, 1),
    Case(ops.ConvTranspose2d((2, 3), (1, 1), (1, 0)), ((4, 5, 4),), ((4, 6, 3, 4), (6,)), WIDE, 1),
    Case(ops.ConvTranspose2d((2, 2), (0, 1), (0, 1), (2, 1), 2), ((4, 5, 4),), ((4, 3, 2, 3), (6,)), WIDE, 1),
    Case(ops.ConvTranspose1d((2,), (1,), (1,)), ((4, 9),), ((4, 6, 4), (6,)), WIDE, 1),
    Case(ops.Linear("relu"), ((5, 40),), ((7, 40), (7,)), WIDE, 1),
    Case(ops.Matmul(), ((2, 4, 30), (2, 30, 3)), output=QuantParams("int8", (0.5,), (0,)), steps=1),
    Case(ops.Matmul(True), ((2, 4, 30), (2, 3, 30)), output=QuantParams("int8", (0.5,), (0,)), steps=1),
    Case(ops.Add("relu"), ((3, 4, 5), (3, 1, 1)), output=WIDE, steps=1),
    Case(ops.Add(), ((3, 4, 5),), ((5,),), WIDE, 1),
    Case(ops.Sub(), ((3, 4, 5), (3, 4, 5)), output=WIDE, steps=1),
    Case(ops.Mul("relu_n1_to_1"), ((3, 4, 5), (3, 4, 1)), output=WIDE, steps=1),
    Case(ops.SquaredDifference(), ((3, 4, 5), (3, 4, 1)), output=QuantParams("int8", (0.7,), (-128,)), steps=1),
    Case(ops.Maximum("relu"), ((3, 4, 5), (3, 4, 1))),
    Case(ops.Minimum(), ((3, 4, 5), (3, 4, 1))),
    Case(ops.Relu(), output=WIDE, steps=0.5),
    Case(ops.Relu()),
    Case(ops.Relu6()),
    Case(ops.Clamp(-1.0, 2.5)),
    Case(ops.Clamp(None, 1.0)),
    Case(ops.Clamp(-1.0, 1.0)),
    Case(ops.LeakyRelu(0.1), output=WIDE, steps=1),
    Case(ops.Prelu(), constants=((3,),), output=WIDE, steps=1),
    Case(ops.Prelu(), constants=((1,),), output=WIDE, steps=1),
    Case(ops.Hardswish(), steps=1.5),
    Case(ops.BinarySign(), output=QuantParams("int8", (1.0,), (0,)), steps=0.0),
    Case(ops.Sigmoid(), output=SIGMOID, steps=0.6),
    Case(ops.Tanh(), output=TANH, steps=0.6),
    Case(ops.Elu(), steps=0.6),
    Case(ops.Gelu(), steps=0.6),
    Case(ops.Gelu("tanh"), steps=0.6),
    Case(ops.Exp(), output=QuantParams("int8", (4.0,), (-128,)), steps=0.6),
    Case(ops.Log(), output=WIDE, steps=0.6, positive=True),
    Case(ops.Abs(), output=WIDE, steps=0.6),
    Case(ops.Rsqrt(), output=QuantParams("int8", (0.05,), (-128,)), steps=0.6, positive=True),
    Case(ops.Softmax(-1), ((3, 4, 10),), output=SOFTMAX, steps=1),
    Case(ops.Softmax(1), ((3, 4, 10),), output=SOFTMAX, steps=1),
    Case(ops.MaxPool2d((3, 2), (2, 2), (1, 1), (1, 1))),
    Case(ops.MaxPool2d((3, 3), (2, 2), (0, 1), (1, 1), True)),
    Case(ops.MaxPool2d((2, 2), (2, 2), (0, 0), (2, 1), True)),
    Case(ops.MaxPool1d((3,), (2,), (1,), (1,), True), ((3, 10),)),
    Case(ops.AvgPool2d((3, 2), (2, 2), (0, 0)), steps=0.51),
    Case(ops.AvgPool2d((3, 3), (2, 2), (1, 1)), steps=0.51),
    Case(ops.AvgPool2d((3, 3), (2, 2), (1, 1), count_include_pad=False), steps=0.51),
    Case(ops.AvgPool2d((3, 3), (2, 2), (0, 0), True), steps=0.51),
    Case(ops.AvgPool2d((3, 3), (2, 2), (1, 1), True), steps=0.51),
    Case(ops.AvgPool2d((2, 2), (3, 3), (1, 1), True, False), steps=0.51),
    Case(ops.AvgPool1d((4,), (3,), (1,), True), ((3, 11),), steps=0.51),
    Case(ops.AdaptiveAvgPool2d((3, 5)), output=QuantParams("int8", (0.03,), (4,)), steps=1.1),
    Case(ops.AdaptiveAvgPool2d((12, 8)), steps=0.6),
    Case(ops.AdaptiveMaxPool2d((3, 5))),
    Case(ops.Mean((2, 3)), output=QuantParams("int8", (0.01,), (3,)), steps=0.6),
    Case(ops.Mean((1,), True), steps=0.6),
    Case(ops.Sum((2,)), output=QuantParams("int8", (0.4,), (0,)), steps=0.6),
    Case(ops.Amax((2, 3))),
    Case(ops.Amin((1,), True)),
    Case(ops.Argmax(-1)),
    Case(ops.Resize((16, 5)), steps=0.0),
    Case(ops.Resize((16, 13), "bilinear"), steps=0.6),
    Case(ops.Resize((15, 5), "bilinear", True), steps=0.6),
    Case(ops.Resize((16,)), ((3, 8),)),
    Case(ops.Resize((16,), "bilinear"), ((3, 8),), steps=0.6),
    Case(ops.Reshape((N, 6, 32))),
    Case(ops.Permute((0, 2, 3, 1))),
    Case(ops.Concat(1), ((3, 4), (5, 4))),
    Case(ops.Split(1, (1, 2))),
    Case(ops.Slice((0, 1, 0, 2), (N, 3, 8, 7), (1, 1, 3, 2))),
    Case(ops.Expand((N, 3, 8, 8)), ((3, 1, 8),)),
    Case(ops.Tile((1, 2, 1, 3))),
    Case(ops.Flip((1, 3))),
    Case(ops.Roll((2, -3), (2, 3))),
    Case(ops.Pad(((0, 0), (1, 0), (2, 3), (0, 1)))),
    Case(ops.Pad(((0, 0), (0, 0), (2, 3), (0, 1)), value=1.0)),
    Case(ops.Pad(((0, 0), (0, 0), (2, 3), (0, 1)), "reflect")),
    Case(ops.PixelShuffle(2), ((8, 3, 3),)),
    Case(ops.PixelUnshuffle(2), ((3, 4, 6),)),
    Case(ops.ChooseExit("margin", (1.0, 2.0), (0.5, 0.3)), ((6,), (6,), (6,))),
]  # fmt: skip


def node_of(case: Case) -> Graph:
    torch.manual_seed(1)
    graph = Graph()
    inputs: list[Value | None] = []
    for index, shape in enumerate(case.shapes):
        value = graph.add_input(f"x{index}", TensorType(torch.float32, (N, *shape)))
        value.quant = QuantParams("int8", (0.05,), (-128,)) if case.positive else Q
        inputs.append(value)
    for index, shape in enumerate(case.constants):  # type: ignore[assignment]
        inputs.append(None if shape is None else constant(graph, case, index, shape))
    node = graph.add_node(case.op, inputs)
    for value in node.outputs:
        value.quant = (case.output or inputs[0].quant) if value.type.is_float else None  # type: ignore[union-attr]
    graph.outputs = list(node.outputs)
    return graph


def constant(graph: Graph, case: Case, index: int, shape: tuple[int, ...]) -> Value:
    value = graph.constant(torch.randn(shape) * (0.3 if index == 0 else 1.0))
    if index == 1:  # a bias
        value.quant = QuantParams("int32", (Q.scale[0] * 0.01,) * shape[0], (0,) * shape[0], 0)
    elif len(shape) > 1:
        transposed = "transpose" in case.op.name
        grouped = transposed and case.op.groups > 1  # type: ignore[attr-defined]
        axis = None if grouped else int(transposed)
        count = 1 if axis is None else shape[axis]
        value.quant = QuantParams("int8", (0.01,) * count, (0,) * count, axis, True)
    else:
        value.quant = QuantParams("int8", (0.01,), (0,))
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.op))
def test_integers_agree_with_the_ops_meaning_to_the_step(case: Case) -> None:
    graph = node_of(case)
    floats = [dequantize(torch.randint(-100, 101, (2, *shape)).to(torch.int8), graph.inputs[0].quant) for shape in case.shapes]  # type: ignore[arg-type]
    if case.op.name == "rsqrt":
        floats = [x + 0.5 for x in floats]
    expected = graph.module().run(list(floats))
    found = Simulator(graph).run(floats)
    for value, e, f in zip(graph.outputs, expected, found, strict=True):
        assert f.shape == e.shape
        if value.quant is None:
            assert torch.equal(e, f)
            continue
        assert f.dtype == torch.int8
        # The module's value lies on the grid too: allow the half step of its own rounding where any difference is allowed.
        steps = (dequantize(f, value.quant) - e).abs().max() / value.quant.scale[0]
        assert steps <= (case.steps + 0.51 if case.steps else 1e-3), float(steps)


def test_every_op_of_the_table_has_a_case() -> None:
    tested = {type(case.op) for case in CASES} | {ops.Identity, ops.Gather}  # these two stand in the interpreter's tests
    assert set(KERNELS) == tested | {ops.Lstm}  # held to the runtimes' integers in tests/export/tflite/test_recurrent.py
