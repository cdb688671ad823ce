"""Metrics against scikit-learn's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from edgekit.data import InputSpec
from edgekit.data.metrics import measure, score
from edgekit.errors import InputError

SPEC = InputSpec("x", "float32", (4,))
RNG = np.random.default_rng(1)


def test_classification_agrees_with_scikit_learn() -> None:
    outputs, labels = RNG.standard_normal((200, 7)), RNG.integers(0, 6, 200)  # one class never occurs
    predicted = outputs.argmax(axis=1)
    known = sorted(set(labels))
    result = score(outputs, labels)
    assert result["top1"] == pytest.approx(oracle.accuracy_score(labels, predicted))
    assert result["macro_f1"] == pytest.approx(
        oracle.f1_score(labels, predicted, average="macro", labels=known, zero_division=0)
    )


def test_regression_agrees_with_scikit_learn() -> None:
    outputs, labels = RNG.standard_normal((50, 1)).astype(np.float32), RNG.standard_normal(50)
    result = score(outputs, labels)
    assert result["mae"] == pytest.approx(oracle.mean_absolute_error(labels, outputs[:, 0]))
    assert result["rmse"] == pytest.approx(oracle.root_mean_squared_error(labels, outputs[:, 0]))


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        (np.zeros((4, 3)), np.array([0, 1, 2, 3])),
        (np.zeros((4, 3)), np.array([0, 1, 2, -1])),
        (np.zeros((4, 3, 2)), np.array([0, 1, 2, 2])),
        (np.zeros((4, 1)), np.array([0, 1, 0, 1])),
        (np.zeros((4, 3)), np.zeros(4)),
    ],
)
def test_outputs_that_do_not_fit_the_labels_are_refused(outputs: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(InputError):
        score(outputs, labels)


def first_columns(inputs: Sequence[np.ndarray]) -> np.ndarray:
    return inputs[0][:, :3]


def test_a_file_is_scored_with_its_labels(tmp_path: Path) -> None:
    x = np.eye(4, dtype=np.float32)[:3]
    np.savez(tmp_path / "test.npz", x=x, y=[0, 1, 0])
    assert measure(first_columns, str(tmp_path / "test.npz"), [SPEC])["top1"] == pytest.approx(2 / 3)


def test_the_users_callable_is_given_the_prediction_function(tmp_path: Path) -> None:
    def accuracy(predict: Any) -> dict[str, float]:
        return {"sum": predict(np.ones((1, 4))).sum()}

    assert measure(first_columns, accuracy, [SPEC]) == {"sum": 3.0}
    (tmp_path / "scores_of_mine.py").write_text(
        "def good(predict):\n    return {'a': 1}\n\ndef bad(predict):\n    return 0.9\n"
    )
    assert measure(first_columns, "scores_of_mine:good", [SPEC], root=tmp_path) == {"a": 1.0}
    with pytest.raises(InputError, match="returned float, not"):
        measure(first_columns, "scores_of_mine:bad", [SPEC], root=tmp_path)
