"""1x1 convolutions as linear layers: the same function, without transposes, exact in integers."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.quantize.pointwise import linear_for_pointwise
from edgekit.compress.quantize.post_training import quantize
from edgekit.export.tflite.exporter import export
from edgekit.formats.tflite.read import read
from edgekit.ir import Graph, ops, simulate
from edgekit.precision import LayerPrecision, Precision, PrecisionPlan
from edgekit.runtime.artifact import Artifact
from tests.compress.quantize.prepared import of_kind, prepared

X = torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def network() -> Graph:
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 24, 1),
        nn.ReLU(),
        nn.Conv2d(24, 24, 3, groups=24),
        nn.Conv2d(24, 8, 1, stride=2),
        nn.Conv2d(8, 5, 1, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return prepared(ek.load(nn.Sequential(*layers).eval(), example_inputs=(X[:1],)))


def test_it_is_the_same_function_and_strided_and_wide_convolutions_stay() -> None:
    graph = network()
    made, names = linear_for_pointwise(graph)
    assert names == ("2.weight", "6.weight")
    assert (len(of_kind(made, ops.Linear)), len(of_kind(made, ops.Conv2d))) == (2, 3)
    assert tuple(made.state["2.weight"].tensor_shape) == (24, 16)
    with torch.no_grad():
        before, after = (g.module().eval().run([X.clone()])[0] for g in (graph, made))
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-5)


def test_the_file_has_fully_connected_operators_and_no_transposes() -> None:
    made, _ = linear_for_pointwise(network())
    plan = PrecisionPlan(Precision("int4", "int8"), {"0": LayerPrecision("int8")})
    quantized, _ = quantize(made, [[X]], plan=plan)
    content = export(quantized)
    file, counts = Artifact(content, kernels="reference"), read(content).op_counts()
    assert counts["FULLY_CONNECTED"] == 2 and "TRANSPOSE" not in counts
    quant = quantized.state["2.weight"].quant
    assert quant is not None and quant.dtype == "int4" and quant.axis == 0
    np.testing.assert_array_equal(simulate(quantized, X).numpy(), file.run(X.numpy()))


def test_only_the_layers_that_are_wanted_change() -> None:
    made, names = linear_for_pointwise(network(), lambda node: node.input(1).tensor_shape[0] == 5)
    assert names == ("6.weight",)
    assert len(of_kind(made, ops.Linear)) == 1


def test_an_image_goes_in_and_comes_out_channels_last_as_it_does_of_convolutions() -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))
    made, names = linear_for_pointwise(prepared(ek.load(nn.Sequential(*layers).eval(), example_inputs=(X[:1],))))
    assert len(names) == 2 and len(of_kind(made, ops.Permute)) == 2  # between the layers none
    main = read(export(made)).main
    assert [main.tensors[i].shape for i in (*main.inputs, *main.outputs)] == [(1, 9, 9, 3), (1, 9, 9, 4)]
    assert len(main.operators) == 2
