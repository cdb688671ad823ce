"""What was begun with some data and graph is gone on with only where they are the same."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from edgekit.train.identity import data_digest, graph_digest
from tests.train.networks import blobs, digits

X, Y = blobs(200)


def dataset(shift: float = 0.0, at: int = 0) -> TensorDataset:
    x = torch.from_numpy(X.copy())
    x[at] += shift
    return TensorDataset(x, torch.from_numpy(Y))


def test_equal_content_has_one_hash_and_other_content_another() -> None:
    assert data_digest((X, Y)) == data_digest((X.copy(), Y.copy()))
    assert data_digest((X, Y)) != data_digest((X, Y[::-1]))
    assert data_digest((X, Y)) != data_digest((X.astype(np.float64), Y))
    assert data_digest(None) != data_digest((X,))


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    for name, x in (("a", X), ("b", X), ("c", X + 1)):
        np.savez(tmp_path / f"{name}.npz", x=x)
    assert data_digest("a.npz", tmp_path) == data_digest(tmp_path / "b.npz")
    assert data_digest("a.npz", tmp_path) != data_digest("c.npz", tmp_path)


def test_a_callable_is_known_by_its_name_and_module(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def data(): ...\n")
    before = data_digest("mine:data", tmp_path)
    assert data_digest("mine:other", tmp_path) != before
    (tmp_path / "mine.py").write_text("def data(): return 1\n")
    assert data_digest("mine:data", tmp_path) != before


def test_a_dataset_is_known_by_its_length_and_samples() -> None:
    assert data_digest(dataset()) == data_digest(dataset())
    assert data_digest(DataLoader(dataset(), batch_size=7)) == data_digest(DataLoader(dataset(), batch_size=7))
    assert data_digest(DataLoader(dataset(), batch_size=7)) != data_digest(DataLoader(dataset(), batch_size=8))
    assert data_digest(dataset(0.5, 0)) != data_digest(dataset())
    assert data_digest(dataset(0.5, 199)) != data_digest(dataset())


class Noisy(Dataset):  # type: ignore[type-arg]
    """Samples with noise of the global generators."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[float, torch.Tensor]:
        return random.random() + np.random.rand(), torch.rand(3) + index


def test_noise_of_a_dataset_does_not_change_what_it_is_and_its_generators_go_on_undisturbed() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = data_digest(Noisy())
    assert torch.equal(torch.rand(2), expected)
    assert data_digest(Noisy()) == first


def test_a_graph_is_known_by_structure_names_and_weights() -> None:
    graph = digits()
    other = graph.__deepcopy__({})
    assert graph_digest(graph) == graph_digest(other)
    with torch.no_grad():
        other.state["head.bias"].tensor[0] += 1e-6
    assert graph_digest(graph) != graph_digest(other)
