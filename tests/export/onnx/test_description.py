"""A file that was written, read back as a description, costs what the graph costs."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.export.onnx import export
from edgekit.formats.onnx.describe import describe
from edgekit.ir import Graph, N, ops
from edgekit.ir.types import Batch, TensorType
from tests.export.onnx.scales import quantize
from tests.export.onnx.test_networks import Residual, Signal, Transformer, Upsampler, graph_of


def test_multiply_accumulates_and_parameters_are_the_graphs() -> None:
    torch.manual_seed(0)
    networks = ((Residual(), (3, 16, 16)), (Signal(nn.GRU), (6, 12)), (Transformer(), (6, 128)), (Upsampler(), (3, 16, 16)))
    for module, shape in networks:
        graph = graph_of(module, shape)
        found = describe(export(graph), "net.onnx")
        assert found.macs == graph.macs
        assert found.inputs[0].shape == ("N", *shape)
        read = {id(value): value for node in graph.nodes for value in node.inputs if value is not None and value.is_constant}
        assert found.parameters >= sum(value.type.numel() for value in read.values() if value.type.is_float)


def test_a_quantised_file_has_the_same_costs_and_smaller_weights() -> None:
    torch.manual_seed(0)
    graph = graph_of(Residual(), (3, 16, 16))
    plain = describe(export(graph), "net.onnx")
    quantize(graph, [[torch.randn(8, 3, 16, 16)]])
    found = describe(export(graph), "net.onnx")
    assert found.macs == plain.macs == graph.macs
    assert found.operators["Conv"] == plain.operators["Conv"] == 4
    assert plain.weight_bytes > 3 * found.weight_bytes
    assert found.sizes is not None and found.sizes.total == found.file_bytes


def test_a_multiple_of_the_batch_counts_for_one_sample() -> None:
    graph = Graph("net")
    x = graph.add_input("x", TensorType(torch.float32, (N, 4, 6)))
    rows = graph.add(ops.Reshape((Batch(4), 6)), x)
    graph.outputs = [graph.add(ops.Linear(), rows, graph.add_state("w", torch.randn(5, 6)))]
    assert describe(export(graph), "net.onnx").macs == graph.macs == 4 * 6 * 5


def test_costs_behind_a_shape_that_the_file_does_not_give_are_unknown_and_not_zero() -> None:
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Mystery", ["x"], ["a"], domain="somebody"), helper.make_node("LSTM", ["a", "w", "r"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weights = [helper.make_tensor(name, TensorProto.FLOAT, [1, 4, 1], [0.0] * 4) for name in ("w", "r")]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], weights))
    found = describe(model.SerializeToString(), "net.onnx")
    assert found.macs is None
    assert [op.macs for op in found.ops] == [0, None]
