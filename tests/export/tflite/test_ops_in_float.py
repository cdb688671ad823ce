"""Every op of the graph, written to TFLite, gives torch's numbers in LiteRT: the table is that of all exporters."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from edgekit.errors import Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.tflite.read import read
from edgekit.ir import N, ops
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.litert import LiteRT
from tests import tflite_runtimes
from tests.export.onnx.one_op import one_op, randn, reference, samples
from tests.export.onnx.test_ops_in_float import CASES, Case, case
from tests.export.tflite.running import assert_close, assert_equal_to_torch, op_counts, run

#: Cases that have no form in TFLite: what the error says.
REFUSED: dict[str, str] = {
    "cast(dtype='float64') float32[N,5]": "float64",
    "cast(dtype='float16') float32[N,5]": "float16",
    "floor_div() int64[N,5] int64[N,5]": "FLOOR_DIV takes no int64",
    "argmax(axis=1) int64[N,30]": "ARG_MAX takes no int64",
    "pad(pads=((0, 0), (1, 1)), value=1) bool[N,5]": "PADV2 takes no bool",
}

IMAGE, SIGNAL = "float32[N,4,9,8]", "float32[N,4,16]"

#: What TFLite writes in ways of its own: padding, groups, dilation, order of channels, forms without a reshape.
OWN = [
    case(ops.Conv2d(padding=((1, 1), (1, 1)), stride=(2, 2)), "float32[N,4,16,16]", randn(5, 4, 3, 3), randn(5)),
    case(ops.Conv2d(padding=((0, 1), (0, 1)), stride=(2, 2)), "float32[N,4,16,16]", randn(5, 4, 3, 3), randn(5)),
    case(ops.Conv2d(padding=((0, 3), (2, 0))), IMAGE, randn(5, 4, 3, 3)),
    case(ops.Conv2d(padding=((2, 2), (2, 2)), dilation=(2, 2), activation="relu6"), IMAGE, randn(5, 4, 3, 3)),
    case(ops.Conv2d(groups=4, padding=((1, 1), (1, 1)), dilation=(2, 1)), IMAGE, randn(12, 1, 3, 3), randn(12)),
    case(ops.Conv2d(groups=2, activation="relu_n1_to_1"), IMAGE, randn(6, 2, 3, 3), randn(6)),
    case(ops.Conv1d(padding=((2, 2),), dilation=(2,), stride=(1,), groups=4), SIGNAL, randn(8, 1, 3), randn(8)),
    case(ops.ConvTranspose2d((2, 2), (1, 1)), IMAGE, randn(4, 5, 4, 4), randn(5)),
    case(ops.ConvTranspose2d((2, 2), (1, 1), (1, 1)), IMAGE, randn(4, 5, 3, 3), randn(5)),
    case(ops.ConvTranspose2d((2, 1), (0, 1), (0, 0), (1, 2), 2, "relu"), IMAGE, randn(4, 3, 2, 3), randn(6)),
    case(ops.ConvTranspose2d((2, 2), groups=2), IMAGE, randn(4, 3, 2, 2), randn(6)),
    case(ops.ConvTranspose2d((2, 2), (1, 1), groups=4), IMAGE, randn(4, 1, 4, 4)),
    case(ops.ConvTranspose2d((2, 2), (1, 1), (1, 1), groups=2), IMAGE, randn(4, 3, 3, 3)),
    case(ops.ConvTranspose1d((2,), dilation=(2,), groups=2), SIGNAL, randn(4, 2, 3), randn(4)),
    case(ops.ConvTranspose1d((4,), (1,)), SIGNAL, randn(4, 3, 6), randn(3)),
    case(ops.MaxPool2d((3, 3), (2, 2), (1, 1), (1, 1)), "float32[N,4,16,16]"),
    case(ops.AvgPool2d((3, 3), (2, 2), (1, 1)), "float32[N,4,16,16]"),
    case(ops.AvgPool2d((3, 3), (1, 1), (1, 1), count_include_pad=False), IMAGE),
    case(ops.Softmax(1), IMAGE),
    case(ops.Softmax(2), IMAGE),
    case(ops.Permute((0, 3, 1, 2)), IMAGE),
    case(ops.Permute((3, 1, 0, 2)), "float32[3,4,5,6]"),
    case(ops.Reshape((6, 4)), "float32[4,6]"),
    case(ops.Reshape((N, 9, 32)), IMAGE),
    case(ops.PixelShuffle(3), "float32[N,18,3,4]"),
    case(ops.PixelUnshuffle(2), "float32[N,3,4,6]"),
    case(ops.Add(), "bool[N,5]", "bool[N,5]"),
    case(ops.Abs(), "int64[N,5]", note="again"),
    case(ops.Square(), "int32[N,5]"),
]


@pytest.mark.parametrize("given", [*CASES, *OWN], ids=lambda given: given.name)
def test_an_op_gives_torchs_numbers(given: Case) -> None:
    graph = one_op(given.op, *given.inputs, outputs=given.outputs)
    if given.name in REFUSED:
        with pytest.raises(Unsupported, match=re.escape(REFUSED[given.name])) as caught:
            export(graph)
        assert caught.value.where and caught.value.hint
        return
    assert_equal_to_torch(graph, tolerance=given.tolerance)
    assert_equal_to_torch(graph, TfliteOptions(batch=3), tolerance=given.tolerance)


def test_every_op_of_the_graph_is_in_the_table() -> None:
    assert {op.name for op in ops.OPS.values() if not op.only_in_training} == {given.op.name for given in CASES}


def test_files_of_all_ops_run_in_tflite_runtime_2_14() -> None:
    jobs, wanted, names = [], [], []
    for given in (*CASES, *OWN):
        if given.name in REFUSED:
            continue
        graph = one_op(given.op, *given.inputs, outputs=given.outputs)
        file = export(graph)
        calls = _in_file_order(file, samples(graph, 1))
        jobs.append((file, [calls]))
        wanted.append(LiteRT(file).invoke(calls))
        names.append(given.name)
    for name, want, answer in zip(names, wanted, tflite_runtimes.run_many_2_14(jobs), strict=True):
        assert not isinstance(answer, str), f"{name}: {answer}"
        assert_close([torch.from_numpy(a.copy()) for a in answer[0]], [torch.from_numpy(a.copy()) for a in want], 1e-5)


def _in_file_order(file: bytes, inputs: list[torch.Tensor]) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Inputs in the file's layout."""
    out = []
    for tensor, x in zip(LiteRT(file).inputs, inputs, strict=True):
        array = x.numpy()
        out.append(np.ascontiguousarray(array if array.shape == tensor.shape else np.moveaxis(array, 1, -1)))
    return out


#: Operators of the file for an op on its own, where a worse form would give the same numbers.
FORMS = [
    (ops.Conv2d(padding=((0, 1), (0, 1)), stride=(2, 2)), ("float32[N,4,16,16]", randn(5, 4, 3, 3)), {"CONV_2D": 1}),
    (ops.Conv2d(padding=((1, 1), (1, 1)), stride=(2, 2)), ("float32[N,4,16,16]", randn(5, 4, 3, 3)), {"PAD": 1, "CONV_2D": 1}),
    (ops.Conv2d(padding=((1, 1), (1, 1)), stride=(2, 2)), ("float32[N,4,15,15]", randn(5, 4, 3, 3)), {"CONV_2D": 1}),
    (ops.Conv2d(groups=4), (IMAGE, randn(8, 1, 3, 3)), {"DEPTHWISE_CONV_2D": 1}),
    (ops.Conv2d(groups=2), (IMAGE, randn(8, 2, 3, 3)), {"CONV_2D": 1}),
    (ops.ConvTranspose2d((2, 2), (1, 1)), (IMAGE, randn(4, 5, 4, 4)), {"TRANSPOSE_CONV": 1}),
    (ops.MaxPool2d((2, 2), (2, 2), (0, 0), (1, 1), True), ("float32[N,4,9,9]",), {"MAX_POOL_2D": 1}),
    (ops.Linear(activation="relu"), ("float32[N,7,6]", randn(5, 6), randn(5)), {"FULLY_CONNECTED": 1}),
    (ops.Matmul(transpose_b=True), ("float32[N,2,5,8]", "float32[N,2,7,8]"), {"BATCH_MATMUL": 1}),
    (ops.Matmul(), ("float32[N,5,8]", randn(8, 3)), {"FULLY_CONNECTED": 1}),
    (ops.Mean((2, 3)), (IMAGE,), {"MEAN": 1}),
    (ops.Silu(), (IMAGE,), {"LOGISTIC": 1, "MUL": 1}),
    (ops.Gelu(), (IMAGE,), {"GELU": 1}),
    (ops.Hardswish(), (IMAGE,), {"HARD_SWISH": 1}),
    (ops.BinarySign(), (IMAGE,), {"GREATER_EQUAL": 1, "SELECT_V2": 1}),
    (ops.Resize((18, 16), "bilinear"), (IMAGE,), {"RESIZE_BILINEAR": 1}),
    (ops.Split(1, (2, 2)), (IMAGE,), {"SPLIT": 1}),
]


@pytest.mark.parametrize(("op", "inputs", "expected"), FORMS, ids=lambda value: str(value)[:60])
def test_an_op_takes_no_more_operators_than_it_needs(op: ops.Op, inputs: tuple[object, ...], expected: dict[str, int]) -> None:
    assert op_counts(export(one_op(op, *inputs))) == expected  # type: ignore[arg-type]


def test_the_file_is_at_the_batch_that_was_asked_for() -> None:
    graph = one_op(ops.Conv2d(), IMAGE, randn(5, 4, 3, 3))
    file = export(graph, TfliteOptions(batch=4))
    main = read(file).main
    assert main.tensors[main.inputs[0]].shape == (4, 9, 8, 4)
    for batch in (1, 4, 6):  # the file is fed four at a time, whatever there is
        inputs = samples(graph, batch)
        assert_close(run(Artifact(file), inputs), reference(graph, inputs), 1e-5)


def test_outputs_that_are_inputs_or_constants_or_equal_are_tensors_of_their_own() -> None:
    graph = one_op(ops.Relu(), "float32[N,3]")
    graph.outputs = [graph.inputs[0], graph.outputs[0], graph.outputs[0], graph.constant(torch.ones(2, 3), "one")]
    file = export(graph)
    main = read(file).main
    assert len({*main.outputs, *main.inputs}) == 5
    x = samples(graph, 1)
    assert_close([torch.from_numpy(a) for a in LiteRT(file).invoke([x[0].numpy()])], reference(graph, x), 0)
