"""Several batches a step: each draw goes through the epoch in an order of its own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from edgekit.errors import InputError
from edgekit.train import Training
from edgekit.train.batches import Batch
from edgekit.train.draws import draws, draws_of
from edgekit.train.loop import train
from edgekit.train.objective import Pass
from edgekit.train.task_loss import TaskLoss
from tests.train.networks import digits
from tests.train.test_samples import Pairs, X, Y, opened

SETTINGS = Training(batch_size=16, validation=0.25, augment="flip_crop")


def rows(batches: list[Batch]) -> np.ndarray:
    return np.concatenate([batch.inputs[0].numpy().reshape(-1, 64) for batch in batches])


@pytest.mark.parametrize("source", [(X, Y), Pairs()], ids=["arrays", "dataset"])
def test_every_draw_has_each_sample_once_in_an_order_of_its_own(source: object) -> None:
    samples = opened(source)
    steps = list(draws(samples, 3, epoch=1))
    each = [rows(steps), *(rows([step.others[place] for step in steps]) for place in range(2))]
    np.testing.assert_array_equal(each[0], rows(list(samples.batches(1))))
    sort = [np.sort(one, 0) for one in each]
    for place in (1, 2):
        np.testing.assert_array_equal(sort[0], sort[place])
        assert (each[0] == each[place]).all(1).mean() < 0.25
    assert not np.array_equal(each[1], each[2])


def test_targets_and_augmentations_go_with_their_own_batch() -> None:
    steps = list(draws(opened((X, Y), SETTINGS), 2, epoch=0))
    again = list(draws(opened((X, Y), SETTINGS), 2, epoch=0, skip=2))
    torch.testing.assert_close(again[0].others[0].inputs[0], steps[2].others[0].inputs[0], rtol=0, atol=0)
    plain = list(draws(opened((X, Y)), 2, epoch=0))
    assert not torch.equal(plain[0].others[0].inputs[0], steps[0].others[0].inputs[0])  # augmented
    labels = {image.tobytes(): int(label) for image, label in zip(X, Y, strict=True)}
    for step in plain:
        for image, label in zip(step.others[0].inputs[0].numpy(), step.others[0].targets[0], strict=True):
            assert labels[image.tobytes()] == int(label)


def test_memory_that_a_dataset_uses_again_is_not_another_draws_batch() -> None:
    class Reader(Pairs):
        """Fills one array for every batch, as readers of large files do."""

        def __init__(self) -> None:
            self.space = np.empty((16, 1, 8, 8), np.float32)

        def __getitems__(self, places: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
            np.take(X, places, 0, out=self.space[: len(places)])
            return torch.from_numpy(self.space[: len(places)]), torch.from_numpy(Y[places])

    loader = DataLoader(Reader(), batch_size=16, collate_fn=lambda batch: batch)
    labels = {image.tobytes(): int(label) for image, label in zip(X, Y, strict=True)}
    for step in draws(opened(loader, Training(batch_size=16, validation=0.0)), 3, epoch=0):
        for batch in (step, *step.others):
            assert [labels[image.numpy().tobytes()] for image in batch.inputs[0]] == batch.targets[0].tolist()


def test_two_processes_have_parts_of_every_draw_that_do_not_overlap() -> None:
    samples = opened((X, Y))
    parts = [rows([step.others[0] for step in draws(samples, 2, 0, rank, 2)]) for rank in (0, 1)]
    together = np.concatenate(parts)
    assert len(parts[0]) == len(parts[1]) and len(np.unique(together, axis=0)) == len(together)


def test_a_loader_with_one_order_gives_one_batch_a_step() -> None:
    wanting = SimpleNamespace(draws=3)
    loader = DataLoader(Pairs(), batch_size=16, sampler=list(range(96)))
    assert draws_of(wanting, opened(loader, Training(batch_size=16, validation=0.0))) == 1  # type: ignore[arg-type]
    assert draws_of(wanting, opened(Pairs())) == 3  # type: ignore[arg-type]
    assert draws_of(SimpleNamespace(), opened(Pairs())) == 1  # type: ignore[arg-type]


def test_a_training_begun_with_one_order_is_not_taken_up_with_several(tmp_path: Path) -> None:
    settings = Training(batch_size=16, epochs=2, validation=0.0)
    loader = DataLoader(Pairs(), batch_size=16, sampler=list(range(96)))
    assert train(digits(), loader, settings, Looking(), folder=tmp_path).draws == 1
    with pytest.raises(InputError, match="another training"):
        train(digits(), Pairs(), settings, Looking(), folder=tmp_path)


class Looking(TaskLoss):
    """The task's loss, and what came beside it."""

    def __init__(self) -> None:
        super().__init__(digits())
        self.draws, self.seen = 3, []

    def __call__(self, step: Pass) -> dict[str, torch.Tensor]:
        self.seen.append(tuple((other.inputs[0].shape, other.targets[0].shape) for other in step.others))
        return super().__call__(step)


def test_an_objective_gets_as_many_as_it_asks_for_and_the_first_is_as_without_them() -> None:
    settings = Training(batch_size=16, epochs=2, validation=0.25)
    looking = Looking()
    trained, plain = train(digits(), (X, Y), settings, looking), train(digits(), (X, Y), settings)
    assert trained.draws == 3 and plain.draws == 1
    assert looking.seen and all(len(others) == 2 and others[0][0][0] == others[0][1][0] for others in looking.seen)
    assert [epoch.terms for epoch in trained.epochs] == [epoch.terms for epoch in plain.epochs]
