"""Training data of every kind arrives as the same batches: shuffled by the seed, a part held out, augmented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from edgekit.data import Data
from edgekit.errors import InputError, UsageError
from edgekit.train import Training
from edgekit.train.augment import flip_crop
from edgekit.train.batches import Batch, Samples
from edgekit.train.randomness import generator
from edgekit.train.samples import Preprocessed, open_samples
from edgekit.train.stacked import Stacked, hold_out
from tests.train.networks import blobs, digits

SETTINGS = Training(batch_size=16, validation=0.25)
X, Y = blobs(96)


class Pairs(Dataset):  # type: ignore[type-arg]
    """A map-style Dataset that tells its classes."""

    targets = Y

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return X[index], int(Y[index])


def opened(source: object, settings: Training = SETTINGS, root: Path | None = None) -> Samples:
    samples, _ = open_samples(source, digits(), settings, root)
    return samples


def stacked(batches: Iterator[Batch]) -> tuple[np.ndarray, np.ndarray]:
    found = list(batches)
    return np.concatenate([b.inputs[0].numpy() for b in found]), np.concatenate([b.targets[0].numpy() for b in found])


def in_a_file(folder: Path) -> str:
    np.savez(folder / "data.npz", x_train=X, y_train=Y, x_test=X + 9, y_test=Y)
    return str(folder / "data.npz")


@pytest.mark.parametrize("kind", ["arrays", "npz", "dict", "batches", "dataset", "tensors", "loader", "Data"])
def test_every_kind_of_source_gives_the_same_batches(kind: str, tmp_path: Path) -> None:
    tensors = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    source: Any = {
        "arrays": (X, Y),
        "npz": in_a_file(tmp_path),
        "dict": {"x": X, "y": Y},
        "batches": [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 96, 10)],
        "dataset": Pairs(),
        "tensors": tensors,
        "loader": DataLoader(tensors, batch_size=16, shuffle=True),
        "Data": Data(train=(X, Y)),
    }[kind]
    samples, expected = opened(source), opened((X, Y))
    for epoch in (0, 1):
        for got, want in zip(stacked(samples.batches(epoch)), stacked(expected.batches(epoch)), strict=True):
            np.testing.assert_array_equal(got, want)
    for got, want in zip(stacked(samples.validation()), stacked(expected.validation()), strict=True):
        np.testing.assert_array_equal(got, want)


def test_every_epoch_has_each_training_sample_once_in_another_order() -> None:
    samples = opened((np.arange(96 * 64, dtype=np.float32).reshape(96, 1, 8, 8), Y))
    first, second = (stacked(samples.batches(epoch))[0][:, 0, 0, 0] for epoch in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first), np.sort(second))
    held = stacked(samples.validation())[0][:, 0, 0, 0]
    assert np.array_equal(np.sort(np.concatenate([first, held])), np.arange(96) * 64)


def test_what_was_skipped_is_what_would_have_come_first() -> None:
    samples = opened((X, Y))
    whole, rest = list(samples.batches(3)), list(samples.batches(3, skip=2))
    assert len(rest) == len(whole) - 2
    assert torch.equal(rest[0].inputs[0], whole[2].inputs[0])


@pytest.mark.parametrize("source", [(X, Y), Pairs()], ids=["arrays", "dataset"])
def test_two_processes_share_an_epoch_evenly_and_without_overlap(source: object) -> None:
    samples = opened(source)
    parts = [stacked(samples.batches(0, rank, 2))[0] for rank in (0, 1)]
    assert len(parts[0]) == len(parts[1])
    together = np.concatenate(parts).reshape(-1, 64)
    assert len(np.unique(together, axis=0)) == len(together)
    assert samples.steps(2) == len(samples_of(samples)) // 2


def samples_of(samples: Samples) -> list[Batch]:
    return [batch for batch in samples.batches(0) if batch.size == 16]


def test_every_class_gives_its_share_to_the_validation_part() -> None:
    labels = torch.tensor([0] * 80 + [1] * 20)
    chosen, held = hold_out(100, 0.2, 0, labels)
    assert labels[held].bincount().tolist() == [16, 4]
    assert sorted([*chosen.tolist(), *held.tolist()]) == list(range(100))


def test_a_share_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="leaves nothing to validate with"):
        hold_out(4, 0.1, 0, None)
    with pytest.raises(UsageError, match="leaves nothing to train with"):
        hold_out(4, 0.9, 0, torch.tensor([0, 1, 2, 3]))


def test_a_last_batch_of_one_sample_is_left_out_and_a_larger_one_not() -> None:
    def sizes(count: int) -> list[int]:
        x = torch.zeros(count, 1)
        source = Stacked([x], [], torch.arange(count), torch.arange(0), 8, 0)
        return [batch.size for batch in source.batches(0)]

    assert sizes(17) == [8, 8]
    assert sizes(18) == [8, 8, 2]
    assert sizes(1) == [1]


def test_a_loader_with_an_order_of_its_own_is_taken_as_it_comes_and_has_no_validation_part() -> None:
    loader = DataLoader(Pairs(), batch_size=16, sampler=list(range(95, -1, -1)))
    with pytest.raises(UsageError, match="no validation part"):
        opened(loader)
    got, _ = stacked(opened(loader, Training(batch_size=16, validation=0.0)).batches(0))
    np.testing.assert_array_equal(got, X[::-1])


class Endless(IterableDataset):  # type: ignore[type-arg]
    """Does not know its length."""

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        yield from ((x, int(y)) for x, y in zip(X, Y, strict=True))


def test_a_loader_that_does_not_know_its_length_is_refused() -> None:
    samples = opened(Endless(), Training(batch_size=16, validation=0.0))
    with pytest.raises(InputError, match="does not know how many batches"):
        samples.steps(1)


def test_a_callable_gives_what_it_likes(tmp_path: Path) -> None:
    code = "import numpy as np\ndef arrays():\n    return np.ones((8, 1, 8, 8), np.float32), np.arange(8) % 2\n"
    (tmp_path / "training_data_of_a_test.py").write_text(code)
    samples = opened("training_data_of_a_test:arrays", Training(batch_size=4, validation=0.0), tmp_path)
    assert samples.count == 8


def test_bytes_without_declared_preprocessing_are_refused() -> None:
    with pytest.raises(InputError, match="no preprocessing is declared"):
        opened((X.astype(np.uint8), Y))
    loader = DataLoader(TensorDataset(torch.zeros(8, 1, 8, 8, dtype=torch.uint8), torch.zeros(8)), batch_size=4)
    samples = opened(loader, Training(validation=0.0))
    with pytest.raises(InputError, match="no preprocessing is declared"):
        next(iter(samples.batches(0)))


def test_declared_preprocessing_of_a_loader_acts_on_every_batch() -> None:
    raw = TensorDataset(torch.full((8, 1, 8, 8), 255, dtype=torch.uint8), torch.zeros(8, dtype=torch.long))
    source = Preprocessed(raw, lambda arrays: [a.astype(np.float32) / 255 for a in arrays], ("x",))
    inputs, _ = stacked(opened(source, Training(batch_size=4, validation=0.0)).batches(0))
    assert inputs.dtype == np.float32
    assert (inputs == 1).all()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "training needs data"),
        ((X[:, :, :4], Y), "has shape"),
        ((X, Y[:-1]), "96 samples and 95 labels"),
        (([X], Y), None),
        ((np.full_like(X, np.nan), Y), "has NaN"),
    ],
)
def test_data_that_does_not_fit_is_refused(source: object, says: str | None) -> None:
    if says is None:
        assert opened(source).count == 72
        return
    with pytest.raises((InputError, UsageError), match=says):
        opened(source)


def test_a_crop_is_a_part_of_the_padded_image_and_half_are_mirrored() -> None:
    images = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(400, 1, 1, 1) + 1
    out = flip_crop(images, generator(0))
    padded = torch.nn.functional.pad(images[0, 0], (1, 1, 1, 1))
    crops = [padded[r : r + 8, c : c + 8] for r in range(3) for c in range(3)]
    plain = [any(torch.equal(image[0], crop) for crop in crops) for image in out]
    mirrored = [any(torch.equal(image[0], crop.flip(1)) for crop in crops) for image in out]
    assert all(a or b for a, b in zip(plain, mirrored, strict=True))
    assert 150 < sum(mirrored) < 250
    assert torch.equal(out, flip_crop(images, generator(0)))


def test_a_callable_of_the_users_augments_and_one_that_changes_the_shape_is_refused(tmp_path: Path) -> None:
    code = "def up(x, generator):\n    return x + 1\ndef cut(x, generator):\n    return x[1:]\n"
    (tmp_path / "augment_of_a_test.py").write_text(code)
    settings = {"batch_size": 16, "validation": 0.0}
    up = opened((X, Y), Training(**settings, augment="augment_of_a_test:up"), tmp_path)  # type: ignore[arg-type]
    plain = opened((X, Y), Training(**settings))  # type: ignore[arg-type]
    np.testing.assert_allclose(stacked(up.batches(0))[0], stacked(plain.batches(0))[0] + 1)
    cut = opened((X, Y), Training(**settings, augment="augment_of_a_test:cut"), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="did not return such a batch"):
        next(iter(cut.batches(0)))


class Broken(Dataset):  # type: ignore[type-arg]
    """Samples that cannot be read, or cannot be stacked."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        if self.how == "unreadable" and index == 7:
            raise IndexError("disk gone")
        return (X[index] if self.how == "unreadable" or index % 2 else X[index][..., 1:]), int(Y[index])


@pytest.mark.parametrize(("how", "message"), [("unreadable", "IndexError: disk gone"), ("ragged", "equal size")])
def test_what_a_dataset_raises_is_an_error_in_the_users_terms(how: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        list(opened(Broken(how)).batches(0))
    assert "samples of one shape" in str(caught.value.hint)
    if how == "unreadable":
        assert "test_samples.py" in str(caught.value.where)
