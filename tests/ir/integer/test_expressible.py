"""The quantiser leaves in float exactly those pools and resizes that the exporter cannot write in integers."""

from __future__ import annotations

import random
import warnings

import pytest
import torch
from torch import nn

from edgekit.compress.quantize.policy import LITERT
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.errors import Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.frontend.source import load
from edgekit.ir import Graph, N, QuantParams, TensorType, ops, simulate
from edgekit.ir.ops import AvgPool2d
from edgekit.runtime.artifact import Artifact

torch.set_num_threads(1)


def drawn(seed: int) -> AvgPool2d:
    """A pool that torch takes."""
    choice = random.Random(seed)
    kernel = (choice.randint(1, 4), choice.randint(1, 4))
    stride = (choice.randint(1, 4), choice.randint(1, 4))
    padding = (choice.randint(0, kernel[0] // 2), choice.randint(0, kernel[1] // 2))
    return AvgPool2d(kernel, stride, padding, choice.random() < 0.5, choice.random() < 0.5)


def quantised(op: ops.Op, shape: tuple[int, ...]) -> Graph:
    """One op in integers, whatever the quantiser would say."""
    graph = Graph("one")
    x = graph.add_input("x", TensorType(torch.float32, (N, *shape)))
    graph.outputs = [graph.add(op, x)]
    x.quant = graph.outputs[0].quant = QuantParams("int8", (0.05,), (3,))
    return graph


def test_the_policy_agrees_with_the_exporter_on_every_pool() -> None:
    kept = 0
    for seed in range(150):
        op = drawn(seed)
        graph = quantised(op, (3, 4 + seed % 7, 5 + seed % 5))
        reason = LITERT.reason(graph.nodes[0])
        try:
            file = export(graph)
        except Unsupported:
            assert reason, op
            continue
        assert reason is None, op
        kept += 1
        x = torch.randn(2, *graph.inputs[0].tensor_shape[1:])
        got = Artifact(file, kernels="reference").run(x.numpy())
        assert torch.equal(torch.from_numpy(got), simulate(graph, x)), op
    assert 60 < kept < 150


@pytest.mark.parametrize("module", [nn.AvgPool2d(3, 2, 1, divisor_override=5), nn.Upsample(scale_factor=1.3, mode="bilinear")])
def test_what_no_integer_kernel_computes_is_an_island_and_right(module: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 9, 8)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), module, nn.Conv2d(4, 4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph, record = quantize(load(model.eval(), (x[:1],)), [[x]], options=PostTraining("min_max"))
    assert [island.reason for island in record.islands] == ["the runtime's integer kernel cannot be told this form of it"]
    with torch.no_grad():
        want = model(x)
    got = torch.from_numpy(Artifact(export(graph)).run(x.numpy()))
    assert 10 * torch.log10((want**2).sum() / ((want - got) ** 2).sum()) > 30


def test_a_bilinear_resize_by_a_factor_is_refused_in_integers() -> None:
    graph = quantised(ops.Resize((11, 10), "bilinear", scales=(1.3, 1.3)), (3, 9, 8))
    with pytest.raises(Unsupported, match="by the factors"):
        export(graph)
    with pytest.raises(Unsupported, match="by the factors"):
        simulate(graph, torch.randn(1, 3, 9, 8))
