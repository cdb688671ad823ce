"""Sequences and optional values of ONNX files leave nothing of themselves in the graph."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgekit.errors import Unsupported
from tests.frontend.onnx.models import assert_as_in_runtime, load, model, node, rand


def test_parts_of_a_tensor_are_taken_and_joined_again() -> None:
    nodes = [
        node("SplitToSequence", ["x", "sizes"], ["parts"], axis=1),
        node("SequenceAt", ["parts", "last"], ["c"]),
        node("SequenceErase", ["parts", "first"], ["fewer"]),
        node("SequenceInsert", ["fewer", "c", "last"], ["more"]),
        node("ConcatFromSequence", ["more"], ["y"], axis=1),
        node("SequenceLength", ["more"], ["count"]),
    ]
    constants = {"sizes": np.array([2, 3, 1]), "first": np.int64(0), "last": np.int64(-1)}
    proto = model(nodes, {"x": ["n", 6]}, ["y", "count"], constants, types={"count": TensorProto.INT64})
    graph = assert_as_in_runtime(proto, rand(3, 6))
    assert {item.op.name for item in graph.nodes} == {"slice", "concat"}


def test_single_elements_are_stacked() -> None:
    nodes = [
        node("SplitToSequence", ["x"], ["parts"], axis=1, keepdims=0),
        node("SequenceAt", ["parts", "second"], ["b"]),
        node("SequenceConstruct", ["b", "b"], ["pair"]),
        node("ConcatFromSequence", ["pair"], ["y"], axis=-1, new_axis=1),
    ]
    assert_as_in_runtime(model(nodes, {"x": ["n", 4]}, ["y"], {"second": np.int64(1)}), rand(3, 4))


def test_a_sequence_that_a_loop_builds_is_joined_once() -> None:
    sequence = helper.make_tensor_sequence_value_info("all", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [node("Add", ["v", "v"], ["v2"]), node("SequenceInsert", ["all", "v2"], ["all2"]), node("Identity", ["c"], ["c2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
            sequence,
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, None),
            helper.make_tensor_sequence_value_info("all2", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        node("SequenceEmpty", [], ["none"]),
        node("Loop", ["count", "", "x", "none"], ["last", "every"], body=body),
        node("ConcatFromSequence", ["every"], ["y"], axis=1),
    ]
    graph = assert_as_in_runtime(model(nodes, {"x": ["n", 2]}, ["y"], {"count": np.int64(3)}), rand(4, 2))
    assert [item.op.name for item in graph.nodes] == ["add", "add", "add", "concat"]


def test_a_value_that_may_be_there_is_there() -> None:
    nodes = [node("Optional", ["x"], ["o"]), node("OptionalGetElement", ["o"], ["v"]), node("Neg", ["v"], ["y"])]
    assert [item.op.name for item in load(model(nodes, {"x": ["n", 2]}, ["y"])).nodes] == ["neg"]


@pytest.mark.parametrize(
    ("nodes", "what"),
    [
        ([node("SequenceConstruct", ["x", "x"], ["y"])], "the output 'y' is a sequence"),
        ([node("SequenceConstruct", ["x"], ["s"]), node("Neg", ["s"], ["y"])], "'Neg' takes a sequence of tensors"),
        ([node("SequenceAt", ["x", "i"], ["y"])], "'SequenceAt' takes a tensor for a sequence"),
        ([node("SequenceConstruct", ["x"], ["s"]), node("SequenceAt", ["s", "five"], ["y"])], "has the position 5 of 1"),
        ([node("SplitToSequence", ["x", "i"], ["s"]), node("SequenceAt", ["s", "i"], ["y"])], "runs over the batch"),
    ],
)
def test_what_stays_a_sequence_is_refused(nodes: list[object], what: str) -> None:
    with pytest.raises(Unsupported, match=what) as error:
        load(model(nodes, {"x": ["n", 2]}, ["y"], {"i": np.int64(0), "five": np.int64(5)}))
    assert error.value.hint
