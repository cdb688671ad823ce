"""A training that was cut off anywhere and started again ends with the weights of an undisturbed one, bit for bit."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.utils.data import DataLoader, Dataset

from edgekit.errors import InputError
from edgekit.train import Training
from edgekit.train.loop import train
from edgekit.train.objective import Pass
from edgekit.train.task_loss import TaskLoss
from tests.train.networks import blobs, digits, same

SETTINGS = Training(epochs=3, batch_size=16, optimizer="adamw", lr=0.01, augment="flip_crop", validation=0.2, warmup=0.5)


class Cut(Exception):
    """Stands for a kill."""


class Failing:
    """The task's loss with a module trained along, noise of all three generators, and a kill at one step."""

    watches = ()

    def __init__(self, task: TaskLoss, at: int | None) -> None:
        self.task, self.left = task, at
        torch.manual_seed(0)
        self.modules = nn.ModuleList([nn.Linear(4, 4)])

    def __call__(self, step: Pass) -> dict[str, torch.Tensor]:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Cut
        noise = torch.rand(()) + np.random.rand() + random.random()
        return {**self.task(step), "along": self.modules[0](step.outputs[0]).square().mean() * noise}


@pytest.mark.parametrize("at", [0, 1, 3, 5, 9, 14])
def test_a_training_cut_off_at_any_step_ends_as_an_undisturbed_one(tmp_path: Path, at: int) -> None:
    graph, data = digits(), blobs()
    whole = train(graph, data, SETTINGS, Failing(TaskLoss(graph), None))
    with pytest.raises(Cut):
        train(graph, data, SETTINGS, Failing(TaskLoss(graph), at), folder=tmp_path, save_every=0.0)
    resumed = train(graph, data, SETTINGS, Failing(TaskLoss(graph), None), folder=tmp_path, save_every=0.0)
    assert resumed.resumed_from == (at or None)
    assert same(whole.graph, resumed.graph)
    assert [e.terms for e in whole.epochs] == [e.terms for e in resumed.epochs]
    assert [e.validation for e in whole.epochs] == [e.validation for e in resumed.epochs]
    assert whole.best == resumed.best


class Noisy(Dataset):  # type: ignore[type-arg]
    """Samples with noise of the global generators, as augmentation in a Dataset makes it."""

    def __init__(self) -> None:
        self.x, self.y = blobs()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.x[index] + np.float32(random.random() + np.random.rand() + float(torch.rand(()))), int(self.y[index])


class Backwards(torch.utils.data.Sampler):  # type: ignore[type-arg]
    """An order of its own that draws from a global generator as it goes."""

    def __iter__(self):  # type: ignore[no-untyped-def]
        for _ in range(96):
            yield int(torch.randint(96, ()))

    def __len__(self) -> int:
        return 96


@pytest.mark.parametrize("at", [2, 8])
@pytest.mark.parametrize("own_order", [False, True])
def test_a_dataset_with_noise_of_its_own_resumes_as_well(tmp_path: Path, at: int, own_order: bool) -> None:
    graph = digits()
    source = DataLoader(Noisy(), batch_size=16, sampler=Backwards()) if own_order else Noisy()
    settings = Training(epochs=2, batch_size=16, validation=0.0)
    whole = train(graph, source, settings, Failing(TaskLoss(graph), None))
    with pytest.raises(Cut):
        train(graph, source, settings, Failing(TaskLoss(graph), at), folder=tmp_path, save_every=0.0)
    resumed = train(graph, source, settings, Failing(TaskLoss(graph), None), folder=tmp_path)
    assert same(whole.graph, resumed.graph)


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    graph, data = digits(), blobs()
    first = train(graph, data, SETTINGS, folder=tmp_path)
    again = train(graph, data, SETTINGS, folder=tmp_path)
    assert again.resumed_from == 3 * 5
    assert same(first.graph, again.graph)


def test_the_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    graph, data = digits(), blobs()
    train(graph, data, SETTINGS, folder=tmp_path)
    with pytest.raises(InputError, match="belongs to another training"):
        train(graph, data, Training(epochs=2), folder=tmp_path)
    x, y = data
    with pytest.raises(InputError, match="belongs to another training"):
        train(graph, (x + 1, y), SETTINGS, folder=tmp_path)


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="can't be read") as caught:
        train(digits(), blobs(), SETTINGS, folder=tmp_path)
    assert "remove" in str(caught.value.hint)


def test_a_checkpoint_is_tensors_and_json_and_there_is_never_half_of_one(tmp_path: Path) -> None:
    train(digits(), blobs(), SETTINGS, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        facts = json.loads(file.metadata()["edgekit.checkpoint/1"])
        names = list(file.keys())
    assert facts["epoch"] == 3
    assert len(facts["epochs"]) == 3
    assert any(name.startswith("optimizer/") for name in names)
