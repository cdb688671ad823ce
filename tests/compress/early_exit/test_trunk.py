"""Heads that are small networks: stages that halve the feature map, and separable blocks behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import edgekit as ek
from edgekit import Unsupported, UsageError
from edgekit.compress.early_exit.heads import attach
from edgekit.compress.early_exit.places import cost
from edgekit.export.tflite.exporter import export
from edgekit.ir import Graph, ops
from edgekit.passes.base import run_passes
from edgekit.passes.pipeline import EXACT
from edgekit.runtime.artifact import Artifact
from tests.compress.early_exit.test_early_exit import Stages, noisy
from tests.train.networks import graph_of

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> Graph:
    torch.manual_seed(0)
    return graph_of(Stages(), (2, 1, 8, 8))


def _of_torch(x: Tensor, state: dict[str, Tensor], stages: int, blocks: int) -> Tensor:
    """The same head in torch's own words, in evaluation mode."""

    def normed(x: Tensor, name: str, **how: int) -> Tensor:
        y = F.conv2d(x, state[f"{name}.weight"], **how)
        norm = [state[f"{name}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(y, *norm)

    for stage in range(stages):
        name = f"exits.0.stage_{stage}"
        x = F.relu(normed(x, f"{name}.conv", stride=2, padding=1))
        for block in range(blocks):
            inner = F.relu(normed(x, f"{name}.block_{block}.depthwise", padding=1, groups=x.shape[1]))
            x = F.relu(x + normed(inner, f"{name}.block_{block}.pointwise"))
    return F.linear(x.mean((2, 3)), state["exits.0.weight"], state["exits.0.bias"])


def test_stages_and_blocks_compute_what_torch_computes_of_them(network: Graph) -> None:
    whole = network.copy()
    place = next(value for value in whole.values() if value.name == "first.2")
    (logits,) = attach(whole, [place], 4, [ek.Head(stages=(6, 10), blocks=2)], seed=3)
    whole.outputs, whole.signature = [place, logits], None
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in whole.state.items():
            if "norm" in name and name.startswith("exits."):
                value.tensor.copy_(0.5 + torch.rand(value.tensor_shape, generator=generator))
        x, got = whole.module().eval().run([torch.randn(5, 1, 8, 8, generator=generator)])
        want = _of_torch(x, {name: value.tensor for name, value in whole.state.items()}, 2, 2)
    assert got.std() > 1e-4
    torch.testing.assert_close(got, want)


def test_a_separable_block_costs_an_eighth_of_a_convolution_of_its_size(network: Graph) -> None:
    def macs(head: ek.Head) -> int:
        whole = network.copy()
        place = next(value for value in whole.values() if value.name == "first.2")
        return cost(attach(whole, [place], 4, [head], seed=0)[0])

    block = macs(ek.Head(stages=(64,), blocks=2)) - macs(ek.Head(stages=(64,), blocks=1))
    assert block / (9 * 64 * 64 * 4 * 4) == pytest.approx(1 / 8, rel=0.02)


def test_a_head_with_stages_learns_on_kept_and_on_altered_samples_and_the_network_stays(network: Graph) -> None:
    before = {name: value.tensor.detach().clone() for name, value in network.state.items()}
    data = ek.Data(train=noisy(400), evaluate=noisy(200, seed=7))
    head = ek.Head(stages=(8,), blocks=1, pool=2)
    for augment in ("none", "flip_crop"):
        training = ek.Training(optimizer="adam", lr=5e-3, batch_size=32, augment=augment)
        exits = ek.EarlyExit(at=("first",), head=head, epochs=4, max_drop=50.0, training=training).apply(network, data)
        assert all(torch.equal(exits.state[name].tensor, tensor) for name, tensor in before.items())
        right = exits.history[-1].details["evaluation"]["exits"][0]["top1_alone"]
        assert right > 0.5 or augment != "none"  # of four classes, which lie where a mirrored one does not
        assert not torch.equal(exits.state["exits.0.stage_0.conv.norm.running_mean"].tensor, torch.zeros(8))


def test_its_norms_are_folded_away_in_a_file_that_answers_as_the_graph(network: Graph) -> None:
    x, y = noisy(300)
    step = ek.EarlyExit(at=("first",), head=ek.Head(stages=(8,), blocks=1), epochs=1, max_drop=90.0)
    graph = step.apply(network, (x, y))
    lowered, _ = run_passes(graph, EXACT)
    assert not any(isinstance(node.op, ops.BatchNorm) for node in lowered.nodes)
    answers = [Artifact(export(lowered)).run(x[i : i + 1]) for i in range(4)]
    with torch.no_grad():
        want = graph.module().eval()(torch.from_numpy(x[:4])).numpy()
    np.testing.assert_allclose(np.concatenate(answers), want, atol=1e-4)


def test_stages_are_checked_when_they_are_written_down_and_refused_behind_a_sequence() -> None:
    with pytest.raises(UsageError, match="'stages'"):
        ek.Head(stages=(32, 0))
    with pytest.raises(UsageError, match="the head has none"):
        ek.Head(blocks=1)
    with pytest.raises(UsageError, match="copies of the network's layers or convolutions"):
        ek.Head(copy=("second",), stages=(8,))
    with pytest.raises(UsageError, match="one convolution"):
        ek.Head(channels=4, stages=(8,))
    steps = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    x = np.random.default_rng(0).random((90, 2, 8), np.float32)
    with pytest.raises(Unsupported, match="stages are for feature maps"):
        ek.EarlyExit(at=("1",), head=ek.Head(stages=(8,)), epochs=1, max_drop=9.0).apply(
            graph_of(steps, (2, 2, 8)), (x, np.arange(90) % 3)
        )
