"""The mean error of every channel goes into the bias."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.quantize.bias_correction import correct_biases
from edgekit.compress.quantize.lockstep import batch_size, run_lockstep
from edgekit.compress.quantize.post_training import PostTraining
from edgekit.ir import Graph, Node, ops
from edgekit.ir.text import parse
from tests.compress.quantize.prepared import prepared, quantized

PLAIN = PostTraining("min_max", bias_correction=False)

#: Weights with a mean, inputs with a mean: rounding errors then do not average out by themselves.
TEXT = """
graph g(%x: float32[N,3,8,8])
  @v: float32[8,3,3,3]
  @w: float32[8,1,3,3]
  @u: float32[5,8]
  @b: float32[5]
  %a = conv2d(%x, @v, padding=((1, 1), (1, 1)), activation='relu')
  %d = conv2d(%a, @w, groups=8, activation='relu')
  %m = mean(%d, axes=(2, 3))
  %y = linear(%m, @u, @b)
  return %y
"""


Outputs = dict[str, torch.Tensor]


def outputs(graph: Graph, batches: list[list[torch.Tensor]]) -> tuple[Outputs, Outputs]:
    """What every layer makes before its activation, by its name: in float and quantised."""
    floats: Outputs = {}
    integers: Outputs = {}

    def visit(node: Node, wanted: list[torch.Tensor], got: list[torch.Tensor]) -> None:
        floats[node.name], integers[node.name] = torch.cat(wanted), torch.cat(got)

    run_lockstep(graph, batches, lambda node: isinstance(node.op, ops.Conv2d | ops.Linear), visit)
    return floats, integers


def mean_errors(wanted: Outputs, got: Outputs) -> list[float]:
    """Largest mean error of a channel, by layer, as a share of the layer's spread."""
    found = []
    for name, a in wanted.items():
        others = [0, *range(2, a.dim())]
        found.append(float(((got[name] - a).mean(others).abs() / a.std()).max()))
    return found


def data(seed: int) -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [[torch.rand(16, 3, 8, 8, generator=generator) + 0.5] for _ in range(2)]


def test_the_mean_error_of_every_channel_becomes_almost_nothing() -> None:
    batches = data(0)
    plain, _ = quantized(TEXT, batches=batches, options=PLAIN)
    source, before = outputs(plain, batches)
    assert correct_biases(plain, batches) == ["v", "w", "u"]
    _, after = outputs(plain, batches)
    assert min(mean_errors(source, before)) > 3e-3
    assert max(mean_errors(source, after)) < 1e-3  # a bias is rounded too
    assert all(n.optional(2) is not None for n in plain.nodes if isinstance(n.op, ops.Conv2d))


def test_it_holds_on_data_that_was_not_calibrated_with() -> None:
    plain, _ = quantized(TEXT, batches=data(0), options=PLAIN)
    source, before = outputs(plain, data(1))
    correct_biases(plain, data(0))
    _, after = outputs(plain, data(1))
    assert sum(mean_errors(source, after)) < 0.5 * sum(mean_errors(source, before))


def test_a_new_bias_has_the_accumulators_scale_and_stands_beside_its_weight() -> None:
    text = "graph g(%x: float32[N,6])\n@fc.weight: float32[4,6] parameter\n%y = linear(%x, @fc.weight)\nreturn %y"
    after, record = quantized(text)
    bias = after.nodes[0].input(2)
    assert bias.name == "fc.bias" and bias.quant is not None and bias.quant.dtype == "int32"
    assert record.corrected == ["fc.weight"]


def test_shared_biases_are_left_as_they_are() -> None:
    text = (
        "graph g(%x: float32[N,6])\n@w: float32[6,6]\n@b: float32[6]\n%a = linear(%x, @w, @b)\n"
        "%y = linear(%a, @w, @b)\nreturn %y"
    )
    graph, _ = quantized(text, options=PLAIN)
    for node in graph.nodes[1:]:
        graph.set_input(node, 2, graph.nodes[0].input(2))
    old = graph.nodes[0].input(2).tensor.clone()
    assert correct_biases(graph, [[torch.randn(8, 6)]]) == []
    assert torch.equal(graph.nodes[0].input(2).tensor, old)


def test_the_parameters_of_the_source_are_not_written_to() -> None:
    before = prepared(
        "graph g(%x: float32[N,6])\n@w: float32[4,6] parameter\n@b: float32[4] parameter\n%y = linear(%x, @w, @b)\nreturn %y"
    )
    old = before.state["b"].tensor.detach().clone()
    after, _ = quantized(before)
    assert torch.equal(before.state["b"].tensor.detach(), old)
    assert not torch.equal(after.state["b"].tensor.detach(), old)


def test_lockstep_runs_the_reference_without_rounding_and_the_other_with_it() -> None:
    batches = data(0)
    graph, _ = quantized(TEXT, batches=batches, options=PLAIN)
    reference = prepared(TEXT)
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def visit(node: Node, wanted: list[torch.Tensor], got: list[torch.Tensor]) -> None:
        seen[node.name] = torch.cat(wanted), torch.cat(got)

    run_lockstep(graph, batches, lambda node: node.name == "y", visit)
    x = torch.cat([b[0] for b in batches])
    with torch.no_grad():
        torch.testing.assert_close(seen["y"][0], reference.module().run([x])[0], rtol=1e-4, atol=1e-4)
        rounded = graph.module().run([x])[0]
    quant = graph.outputs[0].quant
    assert quant is not None
    assert float((seen["y"][1] - rounded).abs().max()) <= 0.51 * quant.scale[0]


@pytest.mark.parametrize(
    ("header", "shapes", "size"),
    [
        ("%x: float32[N,3]", [(7, 3)], 7),
        ("%x: float32[4*N,3]", [(12, 3)], 3),
        ("%a: float32[2,3], %x: float32[5,N]", [(2, 3), (5, 9)], 9),
        ("%x: float32[2,3]", [(2, 3)], 1),
    ],
)
def test_the_batch_is_read_from_the_inputs(header: str, shapes: list[tuple[int, ...]], size: int) -> None:
    graph = parse(f"graph g({header})\n%y = relu(%x)\nreturn %y")
    assert batch_size(graph, [torch.zeros(s) for s in shapes]) == size
