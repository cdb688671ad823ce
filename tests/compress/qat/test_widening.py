"""Outputs of which calibration saw next to nothing go with the coarse steps of few-bit weights: the runtime itself is asked."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.ir import Graph, simulate
from edgekit.runtime.artifact import Artifact

X, Y = np.random.default_rng(0).standard_normal((32, 6)).astype(np.float32), np.zeros(32, np.int64)


class Dead(nn.Module):
    """Beside what goes through, a rectifier that gives zeros, and what a layer makes of those."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.dead, self.behind, self.last = (nn.Linear(6, 6) for _ in range(4))
        with torch.no_grad():
            self.dead.bias.fill_(-1e3)
            self.behind.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first(x))
        z: torch.Tensor = self.last(y + self.behind(torch.relu(self.dead(y))))
        return z


@cache
def trained(weights: str) -> Graph:
    torch.manual_seed(0)
    graph = ek.load(Dead().eval(), (torch.zeros(2, 6),))
    return ek.QAT(weights=weights, edges=False, epochs=0).apply(graph, ek.Data(train=(X, Y)))


@pytest.mark.parametrize("weights", ["int8", "int4", "int2"])
def test_no_layer_adds_up_steps_of_which_its_output_resolves_the_hundredth(weights: str) -> None:
    for node in trained(weights).nodes:
        if isinstance(node.op, WEIGHTED):
            x, w, y = (value.quant for value in (node.input(0), node.input(1), node.output))
            assert x is not None and w is not None and y is not None
            assert x.scale[0] * max(w.scale) / y.scale[0] <= 101


@pytest.mark.parametrize("weights", ["int4", "int2"])
@pytest.mark.parametrize("target", ["tflite-int8", "tflite-w4a8"])
def test_litert_loads_the_file_and_gives_the_simulations_integers(weights: str, target: str, tmp_path: Path) -> None:
    graph = trained(weights)
    content = ek.build(graph, target, calibration=X, output=tmp_path).artifact.read_bytes()
    wanted = simulate(graph, torch.from_numpy(X)).numpy()
    np.testing.assert_array_equal(Artifact(content, kernels="reference").run(X), wanted)
    step = graph.outputs[0].quant.scale[0]  # type: ignore[union-attr]
    assert np.abs(Artifact(content).run(X) - wanted).max() <= 2.01 * step


def test_a_ratio_that_training_drove_beyond_what_the_kernels_take_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    graph = trained("int8").copy()
    (node,) = [n for n in graph.nodes if n.input(1).name == "last.weight"]
    assert node.output.quant is not None
    node.output.quant = replace(node.output.quant, scale=(node.output.quant.scale[0] * 1e-5,))
    with pytest.raises(ek.Unsupported, match="takes no sums whose step is 256 times that of the output or more") as caught:
        ek.build(graph, "tflite-int8", calibration=X, output=tmp_path)
    assert "last" in str(caught.value.where) and "clip_norm" in str(caught.value.hint)
