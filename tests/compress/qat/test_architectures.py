"""Whatever a network is made of: ops in and ops out change no bit, and every gradient in between is a number."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from benchmarks.zoo import ARCHITECTURES
from edgekit.compress.qat.absorbing import absorb
from edgekit.compress.qat.attaching import attach
from edgekit.compress.qat.folding import fold
from edgekit.compress.qat.norms import Norm, recording_passes
from edgekit.compress.qat.types import weight_types
from edgekit.compress.qat.unfolding import unfold
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.frontend.source import load
from edgekit.ir import Graph, ops
from edgekit.passes import DECOMPOSE, run_passes
from edgekit.passes.decompose_activations import DECOMPOSE_FOR_INTEGERS
from tests.architectures.test_architectures import inputs
from tests.compress.prune.masked import randomise

torch.set_num_threads(1)

#: The others run with the slow tests.
FIRST = ("ResNet-8", "MobileNetV3-Small", "DeepConvLSTM")
NAMES = [n if n in FIRST else pytest.param(n, marks=pytest.mark.slow) for n, a in ARCHITECTURES.items() if a.quick]


def run(graph: Graph, data: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        return graph.module().eval().run(list(data))


def same(one: Graph, other: Graph, data: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(run(one, data), run(other, data), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_any_network_is_trained_and_absorbed_without_a_change(name: str) -> None:
    torch.manual_seed(0)
    net = ARCHITECTURES[name].small().eval()
    randomise(net, 0)
    norms: dict[str, Norm] = {}
    graph, _ = run_passes(load(net, inputs(name, False, 1)), (*recording_passes(norms), *DECOMPOSE, *DECOMPOSE_FOR_INTEGERS))
    options = PostTraining(observer="min_max", bias_correction=False)
    quantised, _ = quantize(graph, [list(inputs(name, False, 4))], options=options)
    data = inputs(name, False, 3, seed=2)
    attached = attach(quantised, {}, "max")
    attached.verify()
    back = absorb(attached)
    back.verify()
    assert same(attached, quantised, data) and same(back, quantised, data)
    assert all(back.value(value.name).quant == value.quant for value in quantised.values())

    student = attach(quantised, weight_types(quantised, "int4", {}, True), "auto")
    left = unfold(student, norms, "auto")
    student.verify()
    assert sum(isinstance(node.op, ops.BatchNorm) for node in student.nodes) == len(norms) - len(left)
    module = copy.deepcopy(student).module().train()
    sum(y.float().square().mean() for y in module.run(list(data)) if y.is_floating_point()).backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in module.parameters() if p.grad is not None)
    folded = fold(module.graph)
    folded.verify()
    assert same(absorb(folded), folded, data)
