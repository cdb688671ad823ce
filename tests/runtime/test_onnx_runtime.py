"""The door to ONNX Runtime: silent, with errors in edgekit's form, and an answer to what it computes on integers."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgekit.errors import InputError
from edgekit.runtime.onnx_optimized import optimized_operators
from edgekit.runtime.onnx_runtime import OnnxRuntime


def reshape(shape: list[object] | None = None) -> bytes:
    """x of any length under the shape (2, 2)."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape or ["N"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])
    two = helper.make_tensor("two", TensorProto.INT64, [2], [2, 2])
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "two"], ["y"])], "net", [x], [y], [two])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


def test_inputs_and_outputs_are_described_and_the_file_runs() -> None:
    runtime = OnnxRuntime(reshape())
    assert [(t.name, t.shape, t.dtype) for t in (*runtime.inputs, *runtime.outputs)] == [
        ("x", (None,), "float32"),
        ("y", (2, 2), "float32"),
    ]
    assert runtime.invoke([np.arange(4, dtype=np.float32)])[0].tolist() == [[0, 1], [2, 3]]


def test_a_damaged_file_and_a_failing_run_are_errors_in_three_parts_and_print_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for load in (OnnxRuntime, optimized_operators):
        with pytest.raises(InputError, match="cannot load this file"):
            load(b"not a protobuf")
    runtime = OnnxRuntime(reshape())
    with pytest.raises(InputError, match="failed while running") as caught:
        runtime.invoke([np.zeros(5, np.float32)])
    assert caught.value.hint
    with pytest.raises(InputError, match="2 inputs were given"):
        runtime.invoke([np.zeros(4, np.float32)] * 2)
    assert capfd.readouterr() == ("", "")


def test_operators_are_counted_after_the_runtimes_own_optimisation() -> None:
    assert optimized_operators(reshape()) == {"Reshape": 1}
    assert optimized_operators(reshape([4]), as_on_arm=True) == {"Reshape": 1}
