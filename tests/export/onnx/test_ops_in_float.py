"""Every op of the graph, written to ONNX, gives torch's numbers in ONNX Runtime: one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from edgekit.export.onnx.protobuf import IR_VERSIONS
from edgekit.ir import Graph, N, TensorType, ops
from edgekit.ir.types import Batch
from tests.export.onnx.one_op import Input, assert_equal_to_torch, one_op, randn

IMAGE, SIGNAL, ROWS = "float32[N,4,9,8]", "float32[N,4,16]", "float32[N,6]"


@dataclass(frozen=True)
class Case:
    """One op on some inputs."""

    op: ops.Op
    inputs: tuple[Input, ...]
    name: str
    tolerance: float = 1e-5
    outputs: tuple[int, ...] | None = None


def case(op: ops.Op, *inputs: Input, note: str = "", **kwargs: Any) -> Case:
    shapes = " ".join(i if isinstance(i, str) else "-" if i is None else f"@{'x'.join(map(str, i.shape))}" for i in inputs[:2])
    return Case(op, inputs, f"{op} {shapes} {note}".strip(), **kwargs)


def unary(*operations: ops.Op, x: str = "float32[N,3,5]") -> list[Case]:
    return [case(op, x) for op in operations]


def weights(op: ops.Lstm | ops.Gru | ops.Rnn, inputs: int) -> list[torch.Tensor]:
    """Weights of a recurrent op in torch's order."""
    out = []
    for layer in range(op.layers):
        for direction in range(op.directions):
            width = inputs if layer == 0 else op.hidden * op.directions
            shapes = [(op.GATES * op.hidden, width), (op.GATES * op.hidden, op.hidden)]
            shapes += [(op.GATES * op.hidden,)] * 2 if op.bias else []
            seed = 10 * layer + direction
            out += [randn(*shape, seed=seed + 100 * i) * 0.4 for i, shape in enumerate(shapes)]
    return out


def recurrent(op: ops.Lstm | ops.Gru | ops.Rnn, *, states: bool = False, **kwargs: Any) -> Case:
    batch = Batch(1)
    x = f"float32[{batch},7,5]" if op.batch_first else f"float32[7,{batch},5]"
    state = f"float32[{op.layers * op.directions},{batch},{op.hidden}]" if states else None
    return case(op, x, *[state] * op.STATES, *weights(op, 5), note="with states" if states else "", **kwargs)


CONVOLUTION = [
    case(ops.Conv2d(), IMAGE, randn(5, 4, 3, 3), randn(5)),
    case(ops.Conv2d(padding=((1, 1), (1, 1)), activation="relu"), IMAGE, randn(5, 4, 3, 3)),
    case(ops.Conv2d(padding=((0, 1), (2, 1)), stride=(2, 2), activation="relu6"), IMAGE, randn(5, 4, 3, 3), randn(5)),
    case(ops.Conv2d(dilation=(2, 1), activation="relu_n1_to_1"), IMAGE, randn(5, 4, 3, 3), randn(5)),
    case(ops.Conv2d(groups=4), IMAGE, randn(8, 1, 3, 3), randn(8), note="depthwise, multiplier 2"),
    case(ops.Conv2d(groups=2), IMAGE, randn(6, 2, 1, 3), randn(6)),
    case(ops.Conv2d(), "float32[1,4,9,8]", randn(5, 4, 3, 3)),
    case(ops.Conv1d(), SIGNAL, randn(5, 4, 3), randn(5)),
    case(ops.Conv1d(padding=((2, 0),), dilation=(2,), stride=(2,), groups=2), SIGNAL, randn(6, 2, 2)),
    case(ops.ConvTranspose2d(), IMAGE, randn(4, 5, 3, 3), randn(5)),
    case(
        ops.ConvTranspose2d(stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2, activation="relu"),
        IMAGE,
        randn(4, 3, 3, 3),
        randn(6),
    ),
    case(ops.ConvTranspose2d(dilation=(2, 1)), IMAGE, randn(4, 5, 2, 3)),
    case(ops.ConvTranspose1d(stride=(2,), padding=(1,), output_padding=(1,)), SIGNAL, randn(4, 3, 3), randn(3)),
]

LINEAR = [
    case(ops.Linear(), ROWS, randn(5, 6), randn(5)),
    case(ops.Linear(activation="relu6"), ROWS, randn(5, 6)),
    case(ops.Linear(), "float32[N,3,6]", randn(5, 6), randn(5)),
    case(ops.Linear(activation="relu"), "float32[N,2,3,6]", randn(5, 6)),
    case(ops.Linear(), "float32[6]", randn(5, 6), randn(5)),
    case(ops.Linear(), "float32[4*N,6]", randn(5, 6), randn(5)),
    case(ops.Matmul(), "float32[N,3,6]", "float32[N,6,4]"),
    case(ops.Matmul(transpose_b=True), "float32[N,2,3,6]", "float32[N,2,4,6]"),
    case(ops.Matmul(transpose_b=True), "float32[N,3,6]", randn(4, 6)),
    case(ops.Matmul(), randn(4, 3), "float32[N,3,6]"),
    case(ops.Matmul(), "float32[N,3,6]", randn(6)),
    case(ops.Attention(), "float32[N,2,5,8]", "float32[N,2,7,8]", "float32[N,2,7,6]"),
    case(ops.Attention(scale=0.3, causal=True), "float32[N,2,5,8]", "float32[N,2,5,8]", "float32[N,2,5,8]"),
    case(ops.Attention(causal=True), "float32[N,2,5,8]", "float32[N,2,7,8]", "float32[N,2,7,8]"),
    case(ops.Attention(), "float32[N,2,5,8]", "float32[N,2,7,8]", "float32[N,2,7,8]", "float32[N,1,5,7]"),
    case(
        ops.Attention(), "float32[N,2,5,8]", "float32[N,2,7,8]", "float32[N,2,7,8]", "bool[N,1,5,7]", note="computed bool mask"
    ),
    case(
        ops.Attention(),
        "float32[N,2,5,8]",
        "float32[N,2,3,8]",
        "float32[N,2,3,8]",
        "bool[N,1,5,3]",
        note="a row may be blocked",
    ),
    case(ops.Attention(), "float32[N,2,5,8]", "float32[N,2,7,8]", "float32[N,2,7,8]", torch.arange(35).reshape(5, 7) % 3 > 0),
    case(
        ops.Attention(),
        "float32[N,2,3,8]",
        "float32[N,2,2,8]",
        "float32[N,2,2,8]",
        torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf], [1.0, 2.0]]),
        note="a blocked row",
    ),
]

ACTIVATION = [
    *unary(
        ops.Relu(),
        ops.Relu6(),
        ops.Clamp(-0.5, 0.75),
        ops.Clamp(low=0.1),
        ops.Clamp(high=0.3),
        ops.LeakyRelu(0.2),
        ops.Elu(),
        ops.Elu(alpha=0.5),
        ops.Elu(alpha=1.6732632, scale=1.050701),
        ops.Elu(alpha=2.0, input_scale=0.5),
        ops.Elu(alpha=0.7, scale=1.5, input_scale=2.0),
        ops.Gelu(),
        ops.Gelu("tanh"),
        ops.Silu(),
        ops.Mish(),
        ops.Hardswish(),
        ops.BinarySign(),
        ops.Hardsigmoid(),
        ops.Sigmoid(),
        ops.Tanh(),
        ops.Softplus(),
        ops.Softplus(beta=2.5),
        ops.Softplus(threshold=1.0),
        ops.Softplus(beta=0.5, threshold=0.5),
        ops.Softsign(),
        ops.Hardshrink(0.7),
        ops.Softshrink(0.4),
        ops.Threshold(0.2, -3.0),
        ops.Softmax(),
        ops.Softmax(1),
        ops.Softmax(-2),
        ops.LogSoftmax(),
        ops.LogSoftmax(1),
        ops.Dropout(),
    ),
    case(ops.Clamp(-2, 3), "int64[N,5]"),
    case(ops.Clamp(low=0), "int32[N,5]"),
    case(ops.Threshold(2, 7), "int32[N,5]"),
    case(ops.Prelu(), IMAGE, randn(4)),
    case(ops.Prelu(), IMAGE, randn(1)),
    case(ops.Prelu(), ROWS, randn(6)),
]

ELEMENTWISE = [
    *unary(ops.Exp(), ops.Abs(), ops.Neg(), ops.Sign(), ops.Floor(), ops.Ceil(), ops.Round(), ops.Sin(), ops.Cos(), ops.Erf()),
    *unary(ops.Square(), ops.Identity(), ops.Log(), ops.Sqrt(), ops.Rsqrt()),
    *unary(ops.Abs(), ops.Neg(), ops.Sign(), ops.Square(), x="int64[N,5]"),
    *[case(op(), "float32[N,3,5]", "float32[N,3,5]") for op in (ops.Add, ops.Sub, ops.Mul, ops.Div, ops.Maximum, ops.Minimum)],
    *[case(op(), "float32[N,1,5]", randn(3, 1)) for op in (ops.SquaredDifference, ops.Remainder, ops.FloorDiv, ops.Div)],
    case(ops.Add(activation="relu"), "float32[N,3,5]", "float32[3,5]"),
    case(ops.Sub(activation="relu6"), "float32[N,3,5]", torch.tensor(0.5)),
    case(ops.Mul(activation="relu_n1_to_1"), torch.tensor(0.5), "float32[N,3,5]"),
    case(ops.Add(activation="relu"), "int64[N,5]", "int64[N,5]"),
    case(ops.Add(), "float32[N,5]", torch.tensor([2])),
    case(ops.Mul(), "int64[N,5]", "float32[N,5]"),
    case(ops.Maximum(), "int32[N,5]", "int64[N,5]"),
    case(ops.Pow(), "float32[N,5]", torch.tensor(3.0)),
    case(ops.Pow(), torch.tensor(2.0), "float32[N,5]"),
    case(ops.Pow(), "float32[N,5]", torch.tensor(2)),
    case(ops.FloorDiv(), "int64[N,5]", "int64[N,5]"),
    case(ops.Remainder(), "int64[N,5]", "int64[N,5]"),
    case(ops.FloorDiv(), "int32[N,5]", torch.tensor(3, dtype=torch.int32)),
    *[
        case(op(), kind, kind)
        for op in (ops.Equal, ops.NotEqual, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual)
        for kind in ("float32[N,40]", "int64[N,40]", "bool[N,40]")
    ],
    case(ops.Less(), "float32[N,40]", torch.tensor([1])),
    case(ops.LogicalAnd(), "bool[N,40]", "bool[N,40]"),
    case(ops.LogicalOr(), "bool[N,40]", "int64[N,40]"),
    case(ops.LogicalNot(), "bool[N,40]"),
    *[case(op, "bool[N,40]", "bool[N,40]") for op in (ops.Add(), ops.Mul(), ops.Maximum(), ops.Minimum())],
    *[
        case(ops.Where(), "bool[N,1,5]", kind, kind)
        for kind in ("float32[N,3,5]", "int64[N,3,5]", "int32[N,3,5]", "bool[N,3,5]")
    ],
    case(ops.Where(), "bool[N,5]", "float32[N,5]", torch.tensor(float("-inf"))),
    case(ops.Where(), "bool[N,5]", torch.tensor(1), "float32[N,5]"),
    *[case(ops.Cast(kind), "float32[N,5]") for kind in ("int64", "int32", "bool", "float64", "float16", "float32")],
    case(ops.Cast("float32"), "bool[N,5]"),
    case(ops.Cast("int64"), "bool[N,5]"),
    case(ops.Cast("float32"), "uint8[N,5]"),
]

NORMALIZATION = [
    case(ops.BatchNorm(), IMAGE, randn(4), randn(4, seed=2), randn(4, seed=3), randn(4, seed=4).abs()),
    case(ops.BatchNorm(eps=0.01), SIGNAL, None, None, randn(4, seed=3), randn(4, seed=4).abs()),
    case(ops.BatchNorm(), ROWS, randn(6), None, randn(6, seed=3), randn(6, seed=4).abs()),
    case(ops.LayerNorm(), "float32[N,5,8]", randn(8), randn(8, seed=2)),
    case(ops.LayerNorm(axes=2, eps=1e-3), "float32[N,5,8]", randn(5, 8)),
    case(ops.LayerNorm(axes=3), IMAGE),
    case(ops.LayerNorm(), ROWS, None, randn(6)),
    case(ops.RmsNorm(), "float32[N,5,8]", randn(8)),
    case(ops.RmsNorm(axes=2, eps=1e-2), "float32[N,5,8]"),
    case(ops.GroupNorm(groups=2), IMAGE, randn(4), randn(4, seed=2)),
    case(ops.GroupNorm(groups=1), SIGNAL, None, randn(4)),
    case(ops.GroupNorm(groups=3, eps=1e-3), ROWS, randn(6)),
    case(ops.InstanceNorm(), IMAGE, randn(4), randn(4, seed=2)),
    case(ops.InstanceNorm(), SIGNAL),
]

#: Sizes, kernels and strides where ceil_mode adds a window, adds none, or would add one that begins in the padding.
_WINDOWS = [
    ((3, 2), (2, 2), (1, 1)),
    ((2, 2), (2, 2), (0, 0)),
    ((3, 3), (3, 2), (1, 0)),
    ((2, 3), (3, 3), (1, 1)),
    ((4, 4), (3, 3), (2, 2)),
]

POOLING = [
    *[case(ops.MaxPool2d(k, s, p, (1, 1), ceil), "float32[N,3,10,9]") for k, s, p in _WINDOWS for ceil in (False, True)],
    case(ops.MaxPool2d((3, 2), (2, 1), (1, 1), (2, 3), True), "float32[N,3,10,9]"),
    case(ops.MaxPool1d((3,), (2,), (1,), (1,), True), SIGNAL),
    case(ops.MaxPool1d((2,), (2,), (0,), (2,)), SIGNAL),
    *[
        case(ops.AvgPool2d(k, s, p, ceil, include, divisor), "float32[N,3,10,9]")
        for k, s, p in _WINDOWS
        for ceil in (False, True)
        for include, divisor in ((True, None), (False, None), (True, 5))
    ],
    case(ops.AvgPool1d((3,), (2,), (1,), True, True), "float32[N,4,15]"),
    case(ops.AvgPool1d((4,), (3,), (1,), True, False), SIGNAL),
    *[
        case(op(size), "float32[N,3,10,9]")
        for op in (ops.AdaptiveAvgPool2d, ops.AdaptiveMaxPool2d)
        for size in ((1, 1), (5, 3), (3, 4), (4, 9))
    ],
]

REDUCTION = [
    *[case(op((1,)), "float32[N,3,5]") for op in (ops.Mean, ops.Sum, ops.Amax, ops.Amin)],
    *[case(op((1, 2), keepdim=True), "float32[N,3,5]") for op in (ops.Mean, ops.Sum, ops.Amax, ops.Amin)],
    case(ops.Mean((2, 3)), IMAGE),
    case(ops.Mean((2, 3), keepdim=True), IMAGE),
    case(ops.Mean((2,)), SIGNAL),
    case(ops.Mean((3,)), IMAGE),
    case(ops.Mean((1, 2)), "float32[N,4,4,6]"),
    case(ops.Sum((1,)), "int32[N,5]"),
    case(ops.Sum((1,)), "bool[N,5]"),
    case(ops.Amax((1,)), "int64[N,5]"),
    case(ops.Sum((0,)), ROWS, note="over the batch"),
    *(case(ops.ChooseExit(score, (1.0, 0.5), (0.4, 0.5)), *["float32[N,5]"] * 3) for score in ops.SCORES),
    case(ops.Argmax(-1), "float32[N,3,5]"),
    case(ops.Argmax(1, keepdim=True), "float32[N,3,5]"),
    case(ops.Argmax(1), "int64[N,30]"),
    case(ops.Argmax(1), "int32[N,30]"),
    case(ops.Cumsum(1), "float32[N,3,5]"),
    case(ops.Cumsum(1), "int32[N,5]"),
]

MOVEMENT = [
    case(ops.Reshape((N, 288)), IMAGE),
    case(ops.Reshape((Batch(4), 9, 8)), IMAGE),
    case(ops.Reshape((3, 5)), "float32[15]"),
    case(ops.Reshape((N, 1, N)), "float32[N,N]", note="two dimensions of the batch"),
    case(ops.Permute((0, 2, 3, 1)), IMAGE),
    case(ops.Permute((1, 0)), ROWS),
    case(ops.Concat(1), "float32[N,3,5]", "float32[N,2,5]", "float32[N,4,5]"),
    case(ops.Concat(1), "int64[N,3]", "float32[N,2]"),
    case(ops.Split(1, (1, 2, 3)), ROWS),
    case(ops.Split(1, (1, 2, 3)), ROWS, outputs=(1,), note="one part read"),
    case(ops.Slice((0, 1, 0, 2), (N, 3, 9, 8), (1, 1, 2, 3)), IMAGE),
    case(ops.Slice((0, 0, 0, 0), (N, 4, 9, 8), (1, 1, 1, 1)), IMAGE, note="everything"),
    case(ops.Slice((0, 0), (N, 6), (1, 1)), "float32[2*N,6]", note="half of the samples"),
    case(ops.Expand((N, 3, 5)), "float32[N,1,5]"),
    case(ops.Expand((2, 3, 5)), "float32[3,1]"),
    case(ops.Expand((N, 4, 3, 5)), "float32[N,1,3,1]"),
    case(ops.Tile((1, 2, 3)), "float32[N,3,5]"),
    case(ops.Tile((2, 1, 1, 2)), "float32[N,3,5]"),
    case(ops.Pad(((0, 0), (1, 2), (0, 0), (3, 0))), IMAGE),
    case(ops.Pad(((0, 0), (0, 0), (1, 2), (3, 0)), value=-1.5), IMAGE),
    case(ops.Pad(((0, 0), (0, 0), (-1, 2), (1, -2))), IMAGE),
    case(ops.Pad(((0, 0), (0, 0), (1, 2), (3, 0)), mode="reflect"), IMAGE),
    case(ops.Pad(((0, 0), (0, 0), (1, 2), (3, 0)), mode="replicate"), IMAGE),
    case(ops.Pad(((0, 0), (1, 1)), value=7), "int64[N,5]"),
    case(ops.Pad(((0, 0), (1, 1)), value=1), "bool[N,5]"),
    case(ops.Flip((1, 3)), IMAGE),
    case(ops.Flip((0,)), ROWS),
    case(ops.Roll((2, -3), (1, 2)), IMAGE),
    case(ops.Roll((8, 9), (3, 2)), IMAGE, note="all the way round"),
    case(ops.Gather(1), IMAGE, torch.tensor([2, 0, 0])),
    case(ops.Gather(2), IMAGE, torch.tensor([[1, 2], [3, 0]], dtype=torch.int32)),
    case(ops.PixelShuffle(2), "float32[N,8,3,4]"),
    case(ops.PixelUnshuffle(2), "float32[N,3,4,6]"),
]


def resize(x: str, size: tuple[int, ...], **kwargs: Any) -> list[Case]:
    """In every mode."""
    return [case(ops.Resize(size, mode, **kwargs), x) for mode in ("nearest", "bilinear")]


RESIZE = [
    *resize(IMAGE, (18, 16)),
    *resize(IMAGE, (27, 24), scales=(3.0, 3.0)),
    *resize(IMAGE, (13, 7)),
    *resize(IMAGE, (4, 5)),
    *resize(IMAGE, (1, 1)),
    *resize(IMAGE, (1, 8)),
    *resize(IMAGE, (11, 10), scales=(1.3, 1.3)),
    *resize(IMAGE, (3, 2), scales=(0.35, 0.35)),
    *resize("float32[N,2,4,2]", (5, 2), scales=(1.3, 1.3)),
    *resize("float32[N,2,7,21]", (21, 7)),
    *resize("float32[N,2,49,15]", (7, 5), scales=(1 / 7, 1 / 3)),
    *resize(SIGNAL, (32,)),
    *resize(SIGNAL, (11,)),
    *resize(SIGNAL, (24,), scales=(1.5,)),
    case(ops.Resize((17, 15), "bilinear", align_corners=True), IMAGE),
    case(ops.Resize((18, 16), "bilinear", align_corners=True, scales=(2.0, 2.0)), IMAGE),
    case(ops.Resize((5, 1), "bilinear", align_corners=True), IMAGE),
    case(ops.Resize((33,), "bilinear", align_corners=True), SIGNAL),
]

RECURRENT = [
    recurrent(kind(6, layers, bidirectional, batch_first, bias), states=states)
    for kind in (ops.Lstm, ops.Gru, ops.Rnn)
    for layers, bidirectional, batch_first, bias, states in (
        (1, False, True, True, False),
        (2, False, True, True, True),
        (1, True, False, True, True),
        (2, True, True, False, False),
        (3, True, True, True, True),
    )
] + [
    recurrent(ops.Rnn(6, 2, True, nonlinearity="relu")),
    recurrent(ops.Lstm(6, 2), outputs=(0,)),
    recurrent(ops.Lstm(6, 2), outputs=(1,)),
    recurrent(ops.Gru(6, 2, True), outputs=(1,)),
]

CASES = [
    *CONVOLUTION,
    *LINEAR,
    *ACTIVATION,
    *ELEMENTWISE,
    *NORMALIZATION,
    *POOLING,
    *REDUCTION,
    *MOVEMENT,
    *RESIZE,
    *RECURRENT,
]


#: The first case of each op: enough to see that a later opset has the same operators.
FIRST = list({type(given.op): given for given in reversed(CASES)}.values())


@pytest.mark.parametrize("given", CASES, ids=lambda given: given.name)
def test_an_op_gives_torchs_numbers_at_every_batch(given: Case) -> None:
    graph = one_op(given.op, *given.inputs, outputs=given.outputs)
    assert_equal_to_torch(graph, tolerance=given.tolerance)


@pytest.mark.parametrize("given", FIRST, ids=lambda given: given.name)
def test_the_latest_opset_gives_the_same_numbers(given: Case) -> None:
    graph = one_op(given.op, *given.inputs, outputs=given.outputs)
    assert_equal_to_torch(graph, opset=max(IR_VERSIONS), tolerance=given.tolerance)


def test_every_op_of_the_graph_is_in_the_table() -> None:
    tested = {type(given.op) for given in CASES}
    assert {op.name for op in ops.OPS.values() if not op.only_in_training} - {op.name for op in tested} == set()


def test_zeros_before_a_max_pool_count_as_elements() -> None:
    graph = Graph("padded")
    x = graph.add_input("x", TensorType.parse("float32[N,1,6,6]"))
    below = graph.add(ops.Sub(), graph.add(ops.Neg(), graph.add(ops.Abs(), x)), graph.constant(torch.tensor(1.0), "one"))
    padded = graph.add(ops.Pad(((0, 0), (0, 0), (0, 3), (1, 2))), below)
    graph.outputs = [graph.add(ops.MaxPool2d((3, 3), (2, 2), (1, 1), (1, 1)), padded)]
    assert_equal_to_torch(graph)
