"""What an ONNX file of edgekit says: names, batch, metadata, one file, the same bytes; and what is refused, all at once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
import torch

from edgekit.errors import Unsupported, UsageError
from edgekit.export.onnx import export
from edgekit.export.onnx.registry import EMITTERS
from edgekit.formats.io_metadata import IO_KEY, Preprocessing
from edgekit.ir import Graph, N, QuantParams, ops
from edgekit.ir.text import parse
from edgekit.ir.types import Batch, TensorType, Where
from edgekit.runtime.artifact import Artifact
from tests.export.onnx.one_op import assert_equal_to_torch, checked, one_op, randn, reference, run, samples

NET = """
graph net(%image: float32[N,3,8,8])
  @conv.weight: float32[4,3,3,3] parameter
  @conv.bias: float32[4] parameter
  @fc.weight: float32[5,144] parameter
  %features = conv2d(%image, @conv.weight, @conv.bias, activation='relu')
  %flat = reshape(%features, shape=(N, 144))
  %logits = linear(%flat, @fc.weight)
  return %logits, %features
"""


def net() -> Graph:
    torch.manual_seed(0)
    return parse(NET)


def test_names_of_inputs_outputs_values_and_state_are_the_sources() -> None:
    graph = checked(export(net())).graph
    assert graph.name == "net"
    assert {tensor.name for tensor in graph.initializer} >= {"conv.weight", "conv.bias", "fc.weight"}
    assert [name for node in graph.node for name in node.output] == ["features/Conv", "features", "flat", "logits"]
    assert [node.name for node in graph.node] == ["features/Conv", "features", "flat", "logits"]


def test_the_batch_is_a_named_dimension_and_its_multiples_too() -> None:
    graph = Graph("net")
    x = graph.add_input("x", TensorType(torch.float32, (N, 4, 6)))
    graph.outputs = [graph.add(ops.Reshape((Batch(4), 6)), x, name="y")]
    proto = checked(export(graph)).graph
    dims = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in (*proto.input, *proto.output)
    ]
    assert dims == [["N", 4, 6], ["4*N", 6]]


def test_the_file_is_one_of_opset_18_and_an_ir_version_that_older_runtimes_read() -> None:
    proto = checked(export(net()))
    assert (proto.ir_version, [(entry.domain, entry.version) for entry in proto.opset_import]) == (8, [("", 18)])
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT and tensor.raw_data for tensor in proto.graph.initializer)
    assert (proto.producer_name, proto.doc_string) == ("edgekit", "")


def test_gelu_is_one_operator_of_opset_20_and_composed_in_lower_ones() -> None:
    graph = one_op(ops.Gelu(), "float32[N,5]")
    proto = checked(export(graph))
    assert (proto.opset_import[0].version, [node.op_type for node in proto.graph.node]) == (20, ["Gelu"])
    assert "Erf" in [node.op_type for node in assert_equal_to_torch(graph, opset=19).graph.node]


@pytest.mark.parametrize("opset", range(18, 24))
def test_every_opset_that_is_offered_loads_and_runs(opset: int) -> None:
    assert_equal_to_torch(net(), opset=opset)


def test_an_opset_that_is_not_offered_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="opset 12 is not written"):
        export(net(), opset=12)


def test_the_same_graph_gives_the_same_bytes_in_another_process_too() -> None:
    code = (
        "import sys, torch; from tests.export.onnx.test_files import net; from edgekit.export.onnx import export;"
        "sys.stdout.buffer.write(export(net(), metadata={'b': '1', 'a': '2'}))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    graph = net()
    assert export(graph, metadata={"a": "2", "b": "1"}) == export(graph, metadata={"b": "1", "a": "2"}) == other


def test_metadata_holds_the_callers_entries_and_the_record_of_inputs_and_outputs() -> None:
    proto = checked(export(net(), name="digits", metadata={"author": "somebody"}))
    entries = {entry.key: entry.value for entry in proto.metadata_props}
    assert proto.graph.name == "digits"
    assert entries == {"author": "somebody", IO_KEY: '{"structure":[0,1]}'}
    replaced = checked(export(net(), metadata={IO_KEY: "{}"}))
    assert [(entry.key, entry.value) for entry in replaced.metadata_props] == [(IO_KEY, "{}")]


def test_a_reshaped_batch_keeps_its_name_for_readers_of_the_file() -> None:
    graph = Graph("net")
    x = graph.add_input("x", TensorType(torch.float32, (N, 4, 6)))
    rows = graph.add(ops.Reshape((Batch(4), 6)), x, name="rows")
    back = graph.add(ops.Reshape((N, 24)), graph.add(ops.Relu(), rows), name="back")
    graph.outputs = [graph.add(ops.Reshape((N, 2, 12)), back, name="y")]
    inferred = onnx.shape_inference.infer_shapes(checked(export(graph))).graph
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred.value_info}
    assert shapes == {"rows": ["4*N", 6], "relu": ["4*N", 6], "back": ["N", 24]}


def test_declared_preprocessing_stands_in_the_record() -> None:
    proto = checked(export(net(), preprocessing={"image": Preprocessing(scale=255.0)}))
    assert json.loads(proto.metadata_props[0].value)["inputs"] == [{"preprocessing": {"scale": 255.0}}]


def test_an_artifact_runs_with_nothing_but_the_file() -> None:
    graph = net()
    (x,) = samples(graph, 3)
    logits, features = Artifact(export(graph)).run(x.numpy())
    want = reference(graph, [x])
    np.testing.assert_allclose(logits, want[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(features, want[1], rtol=1e-4, atol=1e-4)


def test_outputs_that_are_inputs_constants_or_given_twice_have_names_of_their_own() -> None:
    graph = Graph("net")
    x = graph.add_input("x", TensorType(torch.float32, (N, 3)))
    constant = graph.add_state("table", randn(2, 2))
    y = graph.add(ops.Relu(), x, name="y")
    graph.outputs = [y, x, y, constant]
    model = export(graph)
    proto = checked(model)
    names = [value.name for value in proto.graph.output]
    assert names[0] == "y" and len(set(names)) == 4 and not {"x", "table"} & set(names)
    given = torch.randn(2, 3)
    for want, got in zip([given.relu(), given, given.relu(), randn(2, 2)], run(model, [given]), strict=True):
        assert torch.equal(got, want)


def test_an_input_that_nothing_reads_stays_an_input() -> None:
    graph = Graph("net")
    graph.add_input("unused", TensorType(torch.int64, (N,)))
    x = graph.add_input("x", TensorType(torch.float32, (N, 3)))
    graph.outputs = [graph.add(ops.Relu(), x)]
    model = export(graph)
    assert [value.name for value in checked(model).graph.input] == ["unused", "x"]
    assert torch.equal(run(model, [torch.zeros(2, dtype=torch.int64), torch.ones(2, 3)])[0], torch.ones(2, 3))


def test_exporting_leaves_the_graph_as_it_was() -> None:
    graph = net()
    before = graph.text()
    export(graph)
    assert graph.text() == before


# ---------------------------------------------------------------------- quantised


def quantized_net() -> Graph:
    graph = net()
    graph.inputs[0].quant = QuantParams("int8", (0.02,), (3,))
    features, flat, logits = (node.output for node in graph.nodes)
    features.quant = flat.quant = QuantParams("int8", (0.03,), (-128,))
    logits.quant = QuantParams("int8", (0.1,), (5,))
    conv, fc = graph.nodes[0], graph.nodes[2]
    conv.input(1).quant = QuantParams("int8", (0.01, 0.02, 0.015, 0.03), (0,) * 4, 0, True)
    conv.input(2).quant = QuantParams("int32", tuple(0.02 * s for s in (0.01, 0.02, 0.015, 0.03)), (0,) * 4, 0)
    fc.input(1).quant = QuantParams("int8", (0.01,) * 5, (0,) * 5, 0, True)
    return graph


def test_the_file_holds_exactly_the_graphs_scales() -> None:
    graph = quantized_net()
    proto = checked(export(graph)).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.initializer}
    stored = {}
    for node in proto.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            stored[node.input[0]] = (constants[node.input[1]], constants[node.input[2]])
    for name, value in (("image", graph.inputs[0]), ("features/real", graph.outputs[1]), ("logits/real", graph.outputs[0])):
        scale, zero = stored[name]
        assert value.quant is not None
        assert (scale.shape, zero.dtype, zero.shape) == ((), np.int8, ())
        assert (float(scale), int(zero)) == (value.quant.scale[0], value.quant.zero_point[0])
    weight, bias = graph.nodes[0].input(1), graph.nodes[0].input(2)
    assert weight.quant is not None and bias.quant is not None
    assert constants["conv.weight"].dtype == np.int8 and constants["conv.bias"].dtype == np.int32
    np.testing.assert_array_equal(stored["conv.weight"][0], np.float32(weight.quant.scale))
    np.testing.assert_array_equal(stored["conv.bias"][0], np.float32(bias.quant.scale))
    assert [node.op_type for node in proto.node].count("QuantizeLinear") == 4  # input, features, flat, logits
    assert "Relu" not in [node.op_type for node in proto.node]  # -128 is zero: rounding clamps


def test_inputs_and_outputs_of_a_quantised_file_are_float() -> None:
    proto = checked(export(quantized_net())).graph
    kinds = {value.type.tensor_type.elem_type for value in (*proto.input, *proto.output)}
    assert kinds == {onnx.TensorProto.FLOAT}
    assert [value.name for value in (*proto.input, *proto.output)] == ["image", "logits", "features"]


def test_borders_between_integers_and_real_numbers_become_one_operator_each() -> None:
    int8, uint8 = QuantParams("int8", (0.05,), (-28,)), QuantParams("uint8", (0.05,), (100,))
    graph = one_op(ops.Identity(), "float32[N,4]")
    x, y = graph.inputs[0], graph.outputs[0]
    for before, after, kinds in (
        (None, int8, ["QuantizeLinear", "DequantizeLinear"]),
        (int8, None, ["QuantizeLinear", "DequantizeLinear"]),
        (uint8, int8, ["QuantizeLinear", "DequantizeLinear"] * 2),
    ):
        x.quant, y.quant = before, after
        model = export(graph)
        assert [node.op_type for node in checked(model).graph.node] == kinds
        data = samples(graph, 2)
        torch.testing.assert_close(run(model, data)[0], reference(graph, data)[0])


def test_activations_that_leave_out_the_lowest_integer_are_clamped_to_the_others() -> None:
    for unsigned in (False, True):
        graph = one_op(ops.Relu(), "float32[N,50]")
        for value in (graph.inputs[0], graph.outputs[0]):
            value.quant = QuantParams("int8", (0.01,), (0,), narrow=True)
        data = samples(graph, 2)
        torch.testing.assert_close(run(export(graph, unsigned=unsigned), data)[0], reference(graph, data)[0])


# ---------------------------------------------------------------------- refused


@dataclass(frozen=True)
class _Unheard(ops.Op):
    """An op that no exporter knows; not registered as one."""

    name: ClassVar[str] = "unheard"
    inputs = ("x",)

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:  # type: ignore[override]
        return x * 2


def place(line: int) -> tuple[Where, ...]:
    return (Where(f"model.{line}", "net.py", line, "forward"),)


def test_everything_that_cannot_be_written_is_refused_in_one_error_with_its_places() -> None:
    graph = Graph("net")
    x = graph.add_input("x", TensorType(torch.float32, (N, 4)))
    a = graph.add(_Unheard(), x, where=place(1))
    b = graph.add(ops.Relu(), a, where=place(2))  # depends on the first: no problem of its own
    c = graph.add(ops.Roll((1,), (0,)), x, where=place(3))
    d = graph.add(_Unheard(), b, where=place(4))
    graph.outputs = [graph.add(ops.Add(), c, d, where=place(5))]
    with pytest.raises(Unsupported) as caught:
        export(graph)
    error = caught.value
    assert error.what == "3 parts of this model can't be written to an ONNX file"
    assert error.where is not None and error.where.splitlines() == [
        "model.1 (net.py:1, in forward): edgekit has no ONNX form of 'unheard'",
        "model.3 (net.py:3, in forward): 'roll' along the batch dimension",
        "model.4 (net.py:4, in forward): edgekit has no ONNX form of 'unheard'",
    ]
    assert error.hint is not None and "docs/adding-an-op.md" in error.hint and "roll the samples" in error.hint


REFUSALS = [
    ("bool tensors", one_op(ops.Pow(), "bool[N,3]", "bool[N,3]")),
    ("are no integers", one_op(ops.Clamp(0.5), "int32[N,3]")),
    ("weights of 'gru' are computed", None),
    ("padding by", one_op(ops.Pad(((0, 0), (0, 0), (-1, 1)), mode="reflect"), "float32[N,3,5]")),
    ("'exp' of int64", one_op(ops.Exp(), "int64[N,3]")),
    ("int2 tensors", None),
    ("complex64", None),
]


@pytest.mark.parametrize(("message", "graph"), REFUSALS, ids=[message for message, _ in REFUSALS])
def test_a_combination_that_cannot_be_written_is_refused(message: str, graph: Graph | None) -> None:
    if "gru" in message:
        graph = Graph("net")
        x = graph.add_input("x", TensorType(torch.float32, (N, 7, 3)))
        w = graph.add_input("w", TensorType(torch.float32, (6, 3)))
        state = [graph.add_state(f"s{i}", randn(*shape)) for i, shape in enumerate(((6, 2), (6,), (6,)))]
        graph.outputs = [graph.add(ops.Gru(2), x, None, w, *state)]
    elif "int2" in message:
        graph = one_op(ops.Conv2d(), "float32[N,3,8,8]", randn(4, 3, 3, 3))
        graph.nodes[0].input(1).quant = QuantParams("int2", (0.3,) * 4, (0,) * 4, 0)
    elif "complex" in message:
        graph = one_op(ops.Mul(), "float32[N,3]", torch.ones(3, dtype=torch.complex64))
    assert graph is not None
    with pytest.raises(Unsupported, match=message) as caught:
        export(graph)
    assert caught.value.where and caught.value.hint


def test_integers_divided_by_integers_are_refused_and_the_floor_division_is_not() -> None:
    graph = one_op(ops.Div(), "float32[N,3]", "float32[N,3]")
    for value in (*graph.inputs, *graph.outputs):
        value.type = TensorType(torch.int64, value.type.shape)
    with pytest.raises(Unsupported, match="divided with '/'"):
        export(graph)
    export(one_op(ops.FloorDiv(), "int64[N,3]", "int64[N,3]"))


def test_an_opset_that_lacks_4_bit_integers_is_refused() -> None:
    graph = one_op(ops.Conv2d(), "float32[N,3,8,8]", randn(4, 3, 3, 3))
    graph.nodes[0].input(1).quant = QuantParams("int4", (0.3,) * 4, (0,) * 4, 0, narrow=True)
    with pytest.raises(UsageError, match="opset 20 has no int4"):
        export(graph, opset=20)
    assert onnx.load_from_string(export(graph)).opset_import[0].version == 21


def test_floor_division_rounds_as_torch_does() -> None:
    graph = one_op(ops.FloorDiv(), "float32[N]", "float32[N]")
    data = [torch.tensor([1.0, -1.0, 7.0, 6.0, -6.0]), torch.tensor([0.1, 0.1, -2.0, 3.0, 3.0])]
    assert run(export(graph), data)[0].tolist() == reference(graph, data)[0].tolist() == [9, -10, -4, 2, -2]


def test_the_table_has_no_emitter_for_an_op_that_is_not() -> None:
    assert set(EMITTERS) == {op for op in ops.OPS.values() if not op.only_in_training}


def test_importing_the_exporter_loads_neither_onnx_nor_a_runtime() -> None:
    code = "import sys, edgekit.export.onnx; print(sorted({'onnx', 'onnxruntime'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "[]\n"
