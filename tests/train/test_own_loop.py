"""A script of the user's that only calls the model, its parameters and its state_dict runs on ``graph.module()`` unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.train.networks import Digits, blobs, digits, graph_of, same

torch.set_num_threads(1)


def users_script(model: nn.Module, checkpoint: Path, epochs: int = 3) -> float:
    """What people write: train, keep the best state_dict, load it again."""
    x, y = (torch.from_numpy(a) for a in blobs())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    best = 0.0
    for epoch in range(epochs):
        model.train()
        for start in range(0, len(x), 24):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[start : start + 24]), y[start : start + 24])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = float((model(x).argmax(1) == y).float().mean())
        if accuracy >= best:
            best = accuracy
            torch.save({"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, checkpoint)
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    return best


def test_the_same_script_trains_the_module_of_the_graph_as_it_trains_the_source(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = Digits()
    source.drop.p = 0.0  # whose random numbers are drawn in another order
    graph = graph_of(source, (1, 1, 8, 8))
    torch.manual_seed(0)
    twin = Digits()
    twin.drop.p = 0.0
    module = graph.module()
    assert users_script(module, tmp_path / "graph.pt") == users_script(twin, tmp_path / "source.pt") > 0.8
    for name, tensor in twin.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


def test_what_the_script_trained_is_what_the_graph_has_and_builds(tmp_path: Path) -> None:
    graph = digits().__deepcopy__({})
    before = graph.state["conv.weight"].tensor.detach().clone()
    module = graph.module()
    users_script(module, tmp_path / "weights.pt", epochs=1)
    assert not torch.equal(before, graph.state["conv.weight"].tensor)
    graph.save(tmp_path / "net.ekg")
    from edgekit.ir.file import load

    assert same(load(tmp_path / "net.ekg"), graph)
    fresh = Digits()
    fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True)["model"])  # and back into the source's class
    x = torch.from_numpy(blobs(4)[0])
    assert torch.allclose(fresh.eval()(x), module.eval()(x), atol=1e-5)


@pytest.mark.parametrize("size", [1, 7])
def test_batches_of_any_size_go_through(size: int) -> None:
    module = digits().module().eval()
    assert module(torch.zeros(size, 1, 8, 8)).shape == (size, 4)
