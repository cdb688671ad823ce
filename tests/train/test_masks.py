"""What is masked is zero from the first step to the last, whatever the optimizer does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgekit import InputError, UsageError
from edgekit.ir import Graph
from edgekit.train import Training
from edgekit.train.loop import train
from tests.train.networks import blobs, digits, same

torch.set_num_threads(1)
NAMES = ["conv.weight", "head.weight"]


def half(graph: Graph, seed: int = 0) -> dict[str, torch.Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    return {name: torch.rand(graph.state[name].tensor_shape, generator=numbers) < 0.5 for name in NAMES}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_zeros_stay_zero_and_the_others_are_trained(optimizer: str) -> None:
    graph, masks = digits(), half(digits())
    settings = Training(epochs=2, batch_size=32, lr=0.05, optimizer=optimizer, weight_decay=0.01, clip_norm=1.0)
    trained = train(graph, blobs(), settings, alive=masks).graph
    for name in NAMES:
        weight, before = trained.state[name].tensor, graph.state[name].tensor
        assert bool((weight[~masks[name]] == 0).all())
        assert not torch.signbit(weight[~masks[name]]).any()
        assert bool((weight[masks[name]] != before[masks[name]]).all())
    assert bool((graph.state["head.weight"].tensor != 0).all())


def test_one_step_is_that_of_the_network_with_its_weights_multiplied_by_the_mask() -> None:
    """Independent: plain torch, the mask inside the function that is differentiated."""
    x, y = blobs(32)
    graph, masks = digits(), half(digits())
    settings = Training(
        epochs=1,
        batch_size=32,
        lr=0.1,
        optimizer="sgd",
        momentum=0.0,
        weight_decay=0.0,
        schedule="constant",
        validation=0.0,
        warmup=0,
    )
    got = train(drop_free(graph), (x, y), settings, alive=masks).graph
    state = {name: value.tensor.detach().clone() for name, value in graph.state.items()}
    free = {name: state[name].requires_grad_() for name in NAMES}
    hidden = torch.conv2d(torch.from_numpy(x), free["conv.weight"] * masks["conv.weight"], state["conv.bias"], padding=1)
    hidden = torch.nn.functional.batch_norm(hidden, None, None, state["norm.weight"], state["norm.bias"], training=True)
    hidden = torch.max_pool2d(torch.relu(hidden), 2).flatten(1)
    scores = torch.nn.functional.linear(hidden, free["head.weight"] * masks["head.weight"], state["head.bias"])
    torch.nn.functional.cross_entropy(scores, torch.from_numpy(y)).backward()
    for name, weight in free.items():
        assert weight.grad is not None
        wanted = weight.detach() * masks[name] - 0.1 * weight.grad
        torch.testing.assert_close(got.state[name].tensor.detach(), wanted, atol=2e-6, rtol=1e-5)


def drop_free(graph: Graph) -> Graph:
    """The network without its dropout."""
    from edgekit.ir import ops

    copy = graph.copy()
    for node in list(copy.nodes):
        if isinstance(node.op, ops.Dropout):
            copy.replace(node.output, node.input(0))
            copy.remove(node)
    return copy


def test_an_interrupted_masked_training_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def killer(line: str) -> None:
        if "2/" in line or "epoch 2" in line:
            raise Killed

    settings, masks = Training(epochs=3, batch_size=32, lr=0.01), half(digits())
    undisturbed = train(digits(), blobs(), settings, alive=masks).graph
    with pytest.raises(Killed):
        train(digits(), blobs(), settings, alive=masks, folder=tmp_path, say=killer)
    resumed = train(digits(), blobs(), settings, alive=masks, folder=tmp_path)
    assert resumed.resumed_from
    assert same(resumed.graph, undisturbed)
    with pytest.raises(InputError, match="another training"):
        train(digits(), blobs(), settings, alive=half(digits(), seed=1), folder=tmp_path)


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        ({"tail.weight": torch.ones(1, dtype=torch.bool)}, "which the graph does not have"),
        ({"head.weight": torch.ones(3, dtype=torch.bool)}, "whose shape is"),
    ],
)
def test_a_mask_that_fits_nothing_is_refused(masks: dict[str, torch.Tensor], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        train(digits(), blobs(), Training(epochs=1), alive=masks)
