"""Whatever a graph holds, its file is valid and computes the graph, or the graph is refused."""

from __future__ import annotations

import math

import torch
from hypothesis import HealthCheck, assume, given, settings

from edgekit.errors import EdgekitError
from edgekit.export.onnx import export
from edgekit.ir import Graph, ops
from tests.export.onnx.one_op import checked, reference, run, samples
from tests.ir.random_graphs import graphs


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_a_file_is_valid_and_computes_the_graph(graph: Graph) -> None:
    for value in graph.values():
        value.quant = None
    for node in graph.nodes:  # attributes that torch itself can't take as float32
        if isinstance(node.op, ops.LeakyRelu):
            graph.set_op(node, ops.LeakyRelu(math.tanh(node.op.slope)))
        if isinstance(node.op, ops.Clamp) and node.op.high is not None:
            graph.set_op(node, ops.Clamp(None, math.tanh(node.op.high)))
    for value in graph.constants():  # keep numbers in a range in which float32 sums agree
        value.data = torch.tanh(value.tensor.detach().double()).to(value.type.dtype) if value.type.is_float else value.data
    inputs = samples(graph, 2)
    try:
        wanted = reference(graph, inputs)
    except KeyError:  # names of state, "a" and "a.b", that no module can have
        assume(False)
    model = export(graph)
    checked(model)
    for want, got in zip(wanted, run(model, inputs), strict=True):
        finite = want[torch.isfinite(want)]
        bound = 1e-4 * max(1.0, float(finite.abs().max()) if finite.numel() else 1.0)
        torch.testing.assert_close(got, want, rtol=1e-4, atol=bound, equal_nan=True)


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_a_quantised_graph_is_written_or_refused_with_its_places(graph: Graph) -> None:
    try:
        model = export(graph)
    except EdgekitError as error:
        assert error.what and error.where and error.hint
    else:
        checked(model)
