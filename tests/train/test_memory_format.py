"""Training in channels-last order: the same numbers but for rounding, and nothing of it is seen outside."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgekit import Data, FineTune
from edgekit.frontend.source import load
from edgekit.train import memory_format
from edgekit.train.loop import train
from edgekit.train.objective import Pass
from edgekit.train.settings import Training
from tests.train.networks import blobs, digits, tensors


class Flat:
    """A loss of somebody who calls ``view`` on everything it is given."""

    watches = (next(node.output.name for node in digits().nodes if node.output.type.rank == 4),)
    modules = torch.nn.ModuleList()
    identity = "flat"

    def __call__(self, step: Pass) -> dict[str, Tensor]:
        seen = [*step.inputs, *step.outputs, *step.features.values()]
        return {"size": sum((tensor.view(-1).square().mean() for tensor in seen), torch.zeros(()))}


def test_it_trains_to_the_same_weights_and_leaves_them_in_the_usual_order(monkeypatch: pytest.MonkeyPatch) -> None:
    step = FineTune(epochs=2, batch_size=16, validation=0.0, optimizer="sgd", lr=0.01)
    fast = step.apply(digits(), Data(train=blobs()))
    monkeypatch.setattr(memory_format, "_IMAGES", ())
    plain = step.apply(digits(), Data(train=blobs()))
    for name, tensor in tensors(fast).items():
        assert tensor.is_contiguous(), name
        torch.testing.assert_close(tensor, tensors(plain)[name], rtol=1e-4, atol=1e-6)


def test_an_objective_sees_contiguous_tensors() -> None:
    trained = train(digits(), blobs(), Training(epochs=1, validation=0.0), Flat())
    assert trained.epochs[0].terms["size"] > 0


def test_the_network_computes_in_channels_last_order() -> None:
    seen: list[bool] = []
    run = torch.nn.functional.conv2d

    def conv2d(x: Tensor, *rest: object, **more: object) -> Tensor:
        seen.append(x.is_contiguous(memory_format=torch.channels_last) and x.shape[1] > 1)
        return run(x, *rest, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "conv2d", conv2d)
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3), torch.nn.Flatten(1))
        graph = load(net, (torch.zeros(1, 3, 8, 8),))
        seen.clear()
        train(graph, (torch.randn(8, 3, 8, 8).numpy(), torch.zeros(8, 64).numpy()), Training(epochs=1, validation=0.0))
    assert seen and all(seen)
