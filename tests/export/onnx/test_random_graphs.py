"""Whatever a graph holds, its file is valid and computes the graph, or the graph is refused."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings

from edgekit.errors import Unsupported
from edgekit.export.onnx import export
from edgekit.ir import Graph
from tests.export.onnx.one_op import checked, reference, run, samples
from tests.ir.random_graphs import graphs


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_a_file_is_valid_and_computes_the_graph(graph: Graph) -> None:
    for value in graph.values():
        value.quant = None
    for value in graph.constants():  # keep numbers in a range in which float32 sums agree
        value.data = torch.tanh(value.tensor.detach().double()).to(value.type.dtype) if value.type.is_float else value.data
    model = export(graph)
    checked(model)
    inputs = samples(graph, 2)
    for want, got in zip(reference(graph, inputs), run(model, inputs), strict=True):
        finite = want[torch.isfinite(want)]
        bound = 1e-4 * max(1.0, float(finite.abs().max()) if finite.numel() else 1.0)
        torch.testing.assert_close(got, want, rtol=1e-4, atol=bound, equal_nan=True)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_a_quantised_graph_is_written_or_refused_with_its_places(graph: Graph) -> None:
    try:
        model = export(graph)
    except Unsupported as error:
        assert error.what and error.where and error.hint
    else:
        checked(model)
