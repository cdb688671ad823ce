"""Peers are trained beside the student, in turns, by each other's latest predictions, and kept in checkpoints."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edgekit.errors import Unsupported, UsageError
from edgekit.train import Training
from edgekit.train.distillation import mutual_loss
from edgekit.train.distillation.peers import MutualObjective
from edgekit.train.loop import train
from edgekit.train.objective import Objective

from .networks import batch, convolutions, graph_of, run_through

LABELS = torch.tensor([0, 2, 1, 1, 0])
SGD = Training(
    optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.0, schedule="constant", epochs=3, batch_size=32, validation=0.0
)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_peers_step_first_and_the_student_learns_from_their_new_predictions(optimizer: str) -> None:
    """Against a plain loop with torch's own optimizer."""
    settings = Training(optimizer=optimizer, lr=0.01, schedule="constant", epochs=3, batch_size=5, validation=0.0)
    student, peer = graph_of(convolutions(1)), graph_of(convolutions(2, width=6))
    objective = MutualObjective(student, [peer], settings, steps=4)
    assert isinstance(objective, Objective)
    objective.modules.eval()
    twin = copy.deepcopy(peer).module().eval()
    decayed = [p for p in twin.parameters() if p.dim() > 1], [p for p in twin.parameters() if p.dim() == 1]
    groups = [{"params": p, "weight_decay": d} for p, d in zip(decayed, (settings.weight_decay, 0.0), strict=True)]
    kinds = {"sgd": lambda g: torch.optim.SGD(g, 0.01, 0.9), "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    made = kinds[optimizer](groups) if optimizer == "sgd" else kinds[optimizer](groups, lr=0.01)  # type: ignore[operator]
    for number in range(3):
        x = batch(seed=number)
        mine = student.module().eval()(x)
        loss = F.cross_entropy(twin(x), LABELS) + mutual_loss(twin(x), mine)
        made.zero_grad()
        loss.backward()
        made.step()
        terms = objective(run_through(student, objective, x, LABELS))
        torch.testing.assert_close(terms["mutual"], mutual_loss(mine, twin(x)), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(terms["task"], F.cross_entropy(mine, LABELS))
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(objective.modules[0].network.get_parameter(name).data, parameter.data)


def test_three_networks_learn_from_the_mean_of_the_others() -> None:
    student, peers = graph_of(convolutions(1)), [graph_of(convolutions(2)), graph_of(convolutions(3, width=6))]
    objective = MutualObjective(student, peers, SGD, steps=4, weight=2.0)
    objective.modules.eval()
    with torch.no_grad():
        terms = objective(run_through(student, objective, batch(), LABELS))
        expected = 2.0 * mutual_loss(student.module().eval()(batch()), [p.module().eval()(batch()) for p in peers])
    torch.testing.assert_close(terms["mutual"], expected)
    before = [copy.deepcopy(p.network.state_dict()) for p in objective.modules]
    sum(objective(run_through(student, objective, batch(), LABELS)).values()).backward()  # type: ignore[union-attr]
    for peer, old in zip(objective.modules, before, strict=True):
        assert any(not torch.equal(old[name], tensor) for name, tensor in peer.network.state_dict().items())
        assert all(p.grad is None and not p.requires_grad for p in peer.parameters())


def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 96)
    waves = np.stack([np.sin(np.arange(6) * (1 + label)) for label in y]).astype(np.float32)
    noise = generator.normal(0, 0.2, (96, 2, 6, 6)).astype(np.float32)
    return waves[:, None, None, :] + noise, y.astype(np.int64)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_interrupted_training_ends_with_the_same_weights(optimizer: str, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    class Stops(MutualObjective):
        __qualname__ = "MutualObjective"

        def __call__(self, step: object) -> dict[str, torch.Tensor]:
            if step.epoch == 2:  # type: ignore[attr-defined]
                raise Stopped
            return super().__call__(step)  # type: ignore[arg-type]

    settings = Training(optimizer=optimizer, lr=0.02, epochs=4, batch_size=32, validation=0.0)
    student, peer = graph_of(convolutions(1)), graph_of(convolutions(2))

    def run(kind: type[MutualObjective], folder: Path | None) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        objective = kind(student, [peer], settings, steps=3)
        trained = train(student, data(), settings, objective, folder=folder)
        return dict(trained.graph.module().state_dict()), dict(objective.modules.state_dict())

    with pytest.raises(Stopped):
        run(Stops, tmp_path)
    resumed, undisturbed = run(MutualObjective, tmp_path), run(MutualObjective, None)
    for first, second in zip(resumed, undisturbed, strict=True):
        assert all(torch.equal(first[name], second[name]) for name in second)


def test_what_cannot_learn_mutually_is_refused() -> None:
    student = graph_of(convolutions(1))
    with pytest.raises(UsageError, match="needs another network"):
        MutualObjective(student, [], SGD, steps=1)
    numbers = MutualObjective(student, [graph_of(convolutions(2))], Training(loss="mse"), steps=1)
    with pytest.raises(Unsupported, match="predicts numbers"):
        numbers(run_through(student, numbers, batch(), torch.zeros(5, 3)))
