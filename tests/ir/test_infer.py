"""Rules that an op states for the types of its results give what its torch function gives on meta tensors."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from edgekit.errors import Unsupported
from edgekit.ir import Batch, N, TensorType, ops
from edgekit.ir.ops.base import OPS, Op, infer_by_meta


@dataclass(frozen=True)
class Case:
    """An op with its input types, written as text; ``-`` stands for an absent input."""

    op: Op
    inputs: str

    @property
    def types(self) -> list[TensorType | None]:
        return [None if part == "-" else TensorType.parse(part) for part in self.inputs.split(";")]

    def __str__(self) -> str:
        return f"{self.op} of {self.inputs}".replace("float32", "")


FLOATS = ("float32[N,3]", "float32[16*N,2,5,5]", "float32[7]", "float16[N,4]", "float32[]")
SAME = [
    ops.Relu(),
    ops.Relu6(),
    ops.Clamp(0.0, None),
    ops.LeakyRelu(0.2),
    ops.Elu(0.5),
    ops.Elu(1.0, 1.05, 1.0),
    ops.Gelu(),
    ops.Gelu("tanh"),
    ops.Silu(),
    ops.Mish(),
    ops.Hardswish(),
    ops.Hardsigmoid(),
    ops.Sigmoid(),
    ops.Tanh(),
    ops.Softplus(),
    ops.Softsign(),
    ops.Hardshrink(),
    ops.Softshrink(),
    ops.Threshold(0.1, 0.2),
    ops.Dropout(),
    ops.Dropout(channelwise=True),
    ops.Identity(),
    ops.Exp(),
    ops.Log(),
    ops.Sqrt(),
    ops.Rsqrt(),
    ops.Square(),
    ops.Abs(),
    ops.Neg(),
    ops.Sign(),
    ops.Floor(),
    ops.Ceil(),
    ops.Round(),
    ops.Sin(),
    ops.Cos(),
    ops.Erf(),
]
ARITHMETIC = [
    ops.Add("relu"),
    ops.Sub(),
    ops.Mul(),
    ops.Div(),
    ops.Maximum(),
    ops.Minimum(),
    ops.Pow(),
    ops.FloorDiv(),
    ops.Remainder(),
    ops.SquaredDifference(),
]
COMPARISONS = [ops.Equal(), ops.NotEqual(), ops.Less(), ops.LessEqual(), ops.Greater(), ops.GreaterEqual()]
PAIRS = (
    "float32[N,3];float32[N,3]",
    "float32[N,1,4];float32[3,1]",
    "float32[2*N,3];float32[]",
    "float32[];float32[N]",
    "float32[3,1];float32[4]",
    "float32[N,3];float16[3]",
)
REDUCTIONS = (ops.Mean, ops.Sum, ops.Amax, ops.Amin)
WEIGHTS = "float32[16,5];float32[16,4];float32[16];float32[16]"

CASES = [
    *(Case(op, types) for op in SAME for types in FLOATS if not (op == ops.Dropout(channelwise=True) and types == FLOATS[-1])),
    *(Case(op, types) for op in (ops.Softmax(), ops.Softmax(1), ops.LogSoftmax(-1)) for types in FLOATS[:2]),
    *(Case(op, pair) for op in ARITHMETIC for pair in PAIRS),
    *(Case(op, pair) for op in COMPARISONS for pair in PAIRS),
    *(Case(op, "bool[N,3];bool[3]") for op in (ops.LogicalAnd(), ops.LogicalOr())),
    *(Case(op, "int64[N,3];int64[3]") for op in (ops.Add(), ops.Mul(), ops.FloorDiv(), ops.Maximum(), ops.Equal())),
    *(Case(op, "int64[N,3];float32[3]") for op in (ops.Add(), ops.Mul(), ops.Less())),
    Case(ops.Where(), "bool[N,1];float32[N,3];float32[]"),
    Case(ops.Where(), "bool[3];float32[1,3];float32[4*N,1]"),
    Case(ops.Cast("int32"), "float32[N,3]"),
    Case(ops.Cast(), "bool[3]"),
    Case(ops.Prelu(), "float32[N,3,4,4];float32[3]"),
    Case(ops.Prelu(), "float32[N,3];float32[1]"),
    Case(ops.BatchNorm(), "float32[N,3,4,4];float32[3];float32[3];float32[3];float32[3]"),
    Case(ops.BatchNorm(), "float32[N,3];-;-;float32[3];float32[3];int64[]"),
    Case(ops.LayerNorm(2), "float32[N,3,4];float32[3,4];float32[3,4]"),
    Case(ops.LayerNorm(), "float32[3*N,4];-;-"),
    Case(ops.RmsNorm(), "float32[N,3,4];float32[4]"),
    Case(ops.GroupNorm(2), "float32[N,4,5];float32[4];float32[4]"),
    Case(ops.InstanceNorm(), "float32[N,4,5,5];float32[4];float32[4]"),
    Case(ops.Linear(), "float32[N,3];float32[5,3];float32[5]"),
    Case(ops.Linear("relu"), "float32[2*N,7,3];float32[5,3]"),
    Case(ops.Linear(), "float32[3];float32[5,3]"),
    Case(ops.Conv1d((2,), ((1, 2),), (3,)), "float32[N,4,32];float32[6,4,3];float32[6]"),
    Case(ops.Conv1d(groups=4), "float32[N,4,32];float32[8,1,5]"),
    Case(ops.Conv2d((2, 1), ((1, 1), (0, 1)), (1, 2), 2), "float32[N,4,9,11];float32[6,2,3,3];float32[6]"),
    Case(ops.Conv2d(activation="relu6"), "float32[3*N,4,9,11];float32[6,4,1,1]"),
    Case(ops.Reshape((Batch(3), 4)), "float32[N,3,4]"),
    Case(ops.Reshape((12,)), "float32[3,4]"),
    Case(ops.Expand((N, 3, 4)), "float32[N,1,4]"),
    Case(ops.Expand((Batch(2), 3)), "float32[3]"),
    *(Case(op((1, 2), keep), "float32[N,3,4]") for op in REDUCTIONS for keep in (False, True)),
    *(Case(op((0,)), "float32[7,3,4]") for op in REDUCTIONS),
    *(Case(op((1,)), "int64[N,3,4]") for op in REDUCTIONS if op is not ops.Mean),
    Case(ops.Sum((1,)), "bool[N,3]"),
    Case(ops.Sum((1,)), "int32[N,3]"),
    Case(ops.Lstm(4), f"float32[N,7,5];-;-;{WEIGHTS}"),
    Case(ops.BinarySign(), "float32[N,3,4]"),
    Case(ops.ChooseExit("entropy", (1.0, 2.0), (0.5, 0.4)), "float32[N,5];float32[N,5];float32[N,5]"),
    Case(ops.BinaryWeight(scaled=True), "float32[6,3,2]"),
    Case(ops.FakeQuantize(), "float32[N,3];float32[1]"),
    Case(ops.FakeQuantize("int4", axis=0, narrow=True), "float32[6,3];float32[6]"),
    Case(ops.Lstm(4, batch_first=False), f"float32[7,N,5];float32[1,N,4];float32[1,N,4];{WEIGHTS}"),
    Case(ops.Lstm(4, bidirectional=True), f"float32[N,7,5];-;-;{WEIGHTS};{WEIGHTS}"),
    Case(ops.Gru(4, bias=False), "float32[N,7,5];-;float32[12,5];float32[12,4]"),
    Case(ops.Gru(4, layers=2, bias=False), "float32[N,7,5];-;float32[12,5];float32[12,4];float32[12,4];float32[12,4]"),
    Case(ops.Rnn(4, bias=False, nonlinearity="relu"), "float32[N,7,5];-;float32[4,5];float32[4,4]"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_stated_rule_agrees_with_the_torch_function(case: Case) -> None:
    assert case.op.infer(*case.types) == infer_by_meta(case.op, case.types)


def test_every_op_that_states_a_rule_is_in_the_table() -> None:
    stating = {name for name, op in OPS.items() if op.infer is not Op.infer}
    assert stating == {case.op.name for case in CASES}


def test_ops_without_a_rule_follow_the_batch() -> None:
    def infer(op: Op, *types: str) -> list[str]:
        return [str(t) for t in op.infer(*(TensorType.parse(t) for t in types))]

    assert infer(ops.MaxPool2d((2, 2), (2, 2), (0, 0), (1, 1)), "float32[N,3,9,9]") == ["float32[N,3,4,4]"]
    assert infer(ops.Concat(0), "float32[N,3]", "float32[2*N,3]") == ["float32[3*N,3]"]
    assert infer(ops.Permute((1, 0)), "float32[N,3]") == ["float32[3,N]"]
    assert infer(ops.Matmul(True), "float32[N,3,4]", "float32[N,5,4]") == ["float32[N,3,5]"]
    assert infer(ops.Split(1, (1, 2)), "float32[N,3]") == ["float32[N,1]", "float32[N,2]"]
    assert infer(ops.Argmax(-1), "float32[N,3]") == ["int64[N]"]
    assert infer(ops.Slice((0, 1), (N, 3), (1, 2)), "float32[N,3]") == ["float32[N,1]"]
    assert infer(ops.Gather(0), "float32[9,4]", "int64[N,6]") == ["float32[N,6,4]"]


def test_what_does_not_hold_for_every_batch_is_refused() -> None:
    def infer(op: Op, *types: str) -> object:
        return op.infer(*(TensorType.parse(t) for t in types))

    with pytest.raises(Unsupported, match="do not broadcast for every batch size"):
        infer(ops.Add(), "float32[N,3]", "float32[4,3]")
    with pytest.raises(Unsupported, match="not a multiple of the batch size"):
        infer(ops.Concat(0), "float32[N,3]", "float32[1,3]")
    with pytest.raises(Unsupported, match="slides over a dimension that depends on the batch"):
        infer(ops.Conv1d(), "float32[3,4,N]", "float32[5,4,1]")
    with pytest.raises(Unsupported, match="and 2 groups"):
        infer(ops.Conv2d(groups=2), "float32[N,4,9,9]", "float32[6,4,3,3]")
    with pytest.raises(Unsupported, match="kernel larger than its padded input"):
        infer(ops.Conv2d(), "float32[N,4,2,2]", "float32[6,4,3,3]")
    with pytest.raises(Unsupported, match="'linear' of"):
        infer(ops.Linear(), "float32[N,3]", "float32[5,4]")
    with pytest.raises(ValueError, match="cannot reshape"):
        infer(ops.Reshape((N, 4)), "float32[3]")


def test_attributes_take_the_batch() -> None:
    assert ops.Reshape((Batch(3), 4)).at(5) == ops.Reshape((15, 4))
    op = ops.Reshape((3, 4))
    assert op.at(5) is op
    assert torch.equal(ops.Slice((0, 0), (N, 2), (1, 1)).at(2).run(torch.ones(2, 4)), torch.ones(2, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "inputs",
    [
        "float32[N,7,4];float32[1,1,5];-;W",  # a state of one sample
        "float32[N,7,4];-;float32[2,N,5];W",
        "float32[N,7,4];-;-;float32[20,3];float32[20,5];float32[20];float32[20]",
        "float32[N,7,4];-;-;float32[20,4];float32[20,5];float32[20]",
        "float32[N,7,4];-;-",
        "float32[N,7];-;-;W",
    ],
)
def test_states_and_weights_that_kernels_would_read_beyond_are_no_layer(inputs: str) -> None:
    fits = "float32[20,4];float32[20,5];float32[20];float32[20]"
    assert len(ops.Lstm(hidden=5).infer(*Case(ops.Lstm(hidden=5), f"float32[N,7,4];-;-;{fits}").types)) == 3
    with pytest.raises(ValueError, match="not"):
        ops.Lstm(hidden=5).infer(*Case(ops.Lstm(hidden=5), inputs.replace("W", fits)).types)
