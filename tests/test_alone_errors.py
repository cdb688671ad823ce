"""What one layer costs alone does not depend on how the layers before it were rounded."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.alone_errors import alone_errors, alone_graphs
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.ir import Graph
from edgekit.metrics import decibels
from edgekit.passes import EXACT, run_passes
from edgekit.precision import LayerPrecision, PrecisionPlan

torch.set_num_threads(1)


def lossy_first() -> tuple[Graph, Graph, torch.Tensor]:
    """A network, the same with a first layer of 4 bits and biases corrected for what that loses, and the samples."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 24, bias=False), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 5)).eval()
    x = torch.rand(64, 12) + 0.5
    graph, _ = run_passes(ek.load(model, (x[:1],)), EXACT)
    plan = PrecisionPlan(layers={"0": LayerPrecision(weights="int4")})
    quantized, record = quantize(graph, [[x]], options=PostTraining("min_max"), plan=plan)
    assert record.corrected
    return graph, quantized, x


def by_hand(graph: Graph, quantized: Graph, x: torch.Tensor, weight: str) -> float:
    """SQNR of the float network with this weight rounded, and the mean of its layer's error in the bias."""
    model = graph.module().eval()
    with torch.no_grad():
        wanted, values = model.run([x])[0], {}
        model.run([x], lambda value, tensor: values.update({value.name: tensor}))
        node = next(n for n in graph.nodes if n.op.name == "linear" and n.input(1).name == weight)
        rounded = quantized.value(weight)
        assert rounded.quant is not None
        step = torch.tensor(rounded.quant.scale)[:, None]
        difference = (rounded.tensor / step).round().clamp(rounded.quant.qmin, rounded.quant.qmax) * step - node.input(1).tensor
        moved = values[node.input(0).name] @ difference.t()
        changed = graph.copy()
        twin = next(n for n in changed.nodes if n.name == node.name)
        bias = 0.0 if node.optional(2) is None else node.input(2).tensor
        changed.set_input(twin, 1, changed.constant(node.input(1).tensor + difference, "changed"))
        new = changed.constant((bias - moved.mean(0)).contiguous(), "corrected")
        changed.set_input(twin, 2, new) if node.optional(2) is not None else changed.extend_input(twin, new)
        got = changed.module().eval().run([x])[0]
    return decibels(float(wanted.square().sum()), float((wanted - got).square().sum()))


def test_a_layer_behind_a_coarse_one_is_judged_by_its_own_weight() -> None:
    graph, quantized, x = lossy_first()
    for value in quantized.values():
        if not value.is_constant:
            value.quant = None  # weights alone
    found = alone_errors(graph, quantized, [x], [graph.outputs[0].name], effort=10**12)
    for name, weight in ((n.name, n.input(1).name) for n in graph.nodes if n.op.name == "linear"):
        assert found[name] == pytest.approx(by_hand(graph, quantized, x, weight), abs=0.2), weight


def test_graphs_with_one_layer_rounded_say_the_same() -> None:
    graph, quantized, x = lossy_first()
    found = alone_errors(graph, quantized, [x], [graph.outputs[0].name], effort=10**12)
    with torch.no_grad():
        wanted = graph.module().eval().run([x])[0]
        for node, alone in alone_graphs(graph, quantized, [x]):
            got = alone.module().eval().run([x])[0]
            error = decibels(float(wanted.square().sum()), float((wanted - got).square().sum()))
            assert found[node.output.name] == pytest.approx(error, abs=1e-3)
