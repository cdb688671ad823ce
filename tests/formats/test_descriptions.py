"""Descriptions of files: costs agree with the graph's, bytes add up, and damaged files are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import InputError, UsageError
from edgekit.export.onnx.convert import export as to_onnx
from edgekit.export.tflite.exporter import export as to_tflite
from edgekit.formats.description import edges, peak_memory
from edgekit.formats.onnx.describe import describe as describe_onnx
from edgekit.formats.tflite.describe import describe
from edgekit.formats.tflite.sizes import sizes
from edgekit.report.from_artifact import describe as describe_file
from edgekit.report.from_graph import describe as describe_graph
from tests.ir import networks
from tests.ir.integer.one_op import Tensor, build


def fully_connected(weights: np.ndarray, scale: list[float] | None = None) -> bytes:
    """A file with one FULLY_CONNECTED, written by the runtime's own object API."""
    rows = weights.shape[0]
    zeros = [0] * len(scale or ())
    tensors: list[Tensor | None] = [
        Tensor(np.zeros((1, weights.shape[1]), np.int8), [0.5], [3]),
        Tensor(weights, scale or [], zeros, 0, constant=True),
        Tensor(np.zeros(rows, np.int32), constant=True),
    ]
    options = schema.FullyConnectedOptionsT()
    return build(schema.BuiltinOperator.FULLY_CONNECTED, tensors, [Tensor(np.zeros((1, rows), np.int8), [0.25], [-1])], options)


def test_a_file_of_the_runtimes_own_writer_is_described() -> None:
    about = describe(fully_connected(np.ones((6, 10), np.int8), [0.1] * 6), "fc.tflite")
    (op,) = about.ops
    assert (op.kind, op.dtype, op.shapes, op.macs) == ("FULLY_CONNECTED", "int8", ((1, 6),), 60)
    assert about.macs == 60 and about.operators == {"FULLY_CONNECTED": 1}
    assert about.weight_bytes == 60 + 24
    assert about.peak_memory_bytes == 10 + 6
    assert (about.inputs[0].scale, about.inputs[0].zero_point, about.inputs[0].dtype) == (0.5, 3, "int8")
    assert about.edges == ((-1, 0), (0, 1))
    json.dumps(about.as_dict())


def test_the_parts_of_a_file_add_up_to_its_size() -> None:
    data = fully_connected(np.ones((64, 100), np.int8), [0.1] * 64)
    parts = sizes(data)
    assert parts.total == len(data) and parts.weights == 6400 + 256
    assert min(parts.quantization, parts.metadata, parts.structure) >= 0
    plain = sizes(fully_connected(np.ones((64, 100), np.int8), [0.1]))
    assert parts.quantization - plain.quantization == 63 * (4 + 8), "a scale is 4 bytes and a zero point 8"
    assert abs(parts.structure - plain.structure) <= 16


@pytest.mark.parametrize("build", [networks.resnet20, networks.inverted_residuals, networks.lstm_classifier])
def test_a_tflite_file_costs_what_its_graph_does(build: object) -> None:
    graph = build()  # type: ignore[operator]
    data = to_tflite(graph)
    about, ours = describe(data, "net.tflite"), describe_graph(graph)
    assert about.macs == graph.macs == ours.macs
    assert about.file_bytes == len(data) and about.sizes is not None and about.sizes.total == len(data)
    assert about.weight_bytes >= 3.5 * graph.parameters  # TFLite's LSTM has one bias where torch has two
    assert about.peak_memory_bytes is not None and ours.peak_memory_bytes is not None
    assert about.peak_memory_bytes >= max(4 * op_elements(op.shapes) for op in about.ops)


def op_elements(shapes: object) -> int:
    (shape, *_) = shapes  # type: ignore[misc]
    return int(np.prod([size or 1 for size in shape]))


def test_an_onnx_file_costs_what_its_graph_does() -> None:
    graph = networks.inverted_residuals()
    data = to_onnx(graph)
    about = describe_onnx(data, "net.onnx")
    assert about.macs == graph.macs and about.parameters >= graph.parameters
    assert about.sizes is not None and about.sizes.total == len(data)
    assert about.peak_memory_bytes == describe_graph(graph).peak_memory_bytes


def test_a_graph_is_described_with_its_quantised_sizes() -> None:
    from edgekit.ir import QuantParams
    from edgekit.ir.text import parse

    graph = parse(
        "graph g(%x: float32[N,8])\n @w: float32[4,8] parameter\n @unread: float32[99] buffer\n %y = linear(%x, @w)\n return %y"
    )
    floats = describe_graph(graph)
    assert (floats.parameters, floats.weight_bytes, floats.peak_memory_bytes) == (32, 128, 48)
    for name in ("x", "y", "w"):
        graph.value(name).quant = QuantParams("int8", (0.5,), (7,) if name == "x" else (0,))
    integers = describe_graph(graph)
    assert (integers.weight_bytes, integers.peak_memory_bytes, integers.ops[0].dtype) == (32, 12, "int8")
    assert (integers.inputs[0].scale, integers.inputs[0].zero_point, integers.inputs[0].shape) == (0.5, 7, ("N", 8))


def test_peak_memory_is_the_most_that_is_alive_at_once() -> None:
    sizes_of = {0: 10, 1: 20, 2: 5, 3: 1}
    chain = [([0], [1]), ([1], [2]), ([2], [3])]
    assert peak_memory(chain, sizes_of, [0], [3]) == 30
    skip = [([0], [1]), ([1], [2]), ([2, 0], [3])]
    assert peak_memory(skip, sizes_of, [0], [3]) == 35
    assert peak_memory(chain, sizes_of, [0], [1, 3]) == 30
    assert peak_memory([([0], [1]), ([1], [2]), ([0, 2], [3])], {**sizes_of, 0: 0}, [0], [3]) == 25
    assert peak_memory([], sizes_of, [0], [0]) == 10
    assert peak_memory([([99], [1])], sizes_of, [], [1]) == 20, "a constant takes no memory of its own here"


def test_edges_name_inputs_ops_and_outputs() -> None:
    steps = [([10], [11]), ([11, 10], [12, 13])]
    assert edges(steps, [10], [13, 11]) == ((-1, 0), (0, 1), (-1, 1), (1, 2), (0, 3))


def test_what_is_no_artifact_is_refused(tmp_path: object) -> None:
    with pytest.raises(InputError, match="not a TensorFlow Lite file"):
        describe(b"", "x.tflite")
    with pytest.raises(InputError, match="not an ONNX file"):
        describe_onnx(b"\xff\xff\xff", "x.onnx")
    with pytest.raises(InputError, match="has no graph"):
        describe_onnx(b"", "x.onnx")
    with pytest.raises(UsageError, match="is no artifact"):
        describe_file("net.bin")


@pytest.mark.parametrize("cut", [40, 200, -1])
def test_a_truncated_file_is_refused_or_described_never_a_crash(cut: int) -> None:
    data = fully_connected(np.ones((6, 10), np.int8), [0.1] * 6)
    try:
        describe(data[:cut], "cut.tflite")
    except InputError as error:
        assert "damaged" in error.what
