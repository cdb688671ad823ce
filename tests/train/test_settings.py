"""Settings of a training are checked when they are written down."""

from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.train import Training


def test_the_rate_follows_the_optimizer_where_none_is_given() -> None:
    assert Training(optimizer="sgd").rate == 0.05
    assert Training(optimizer="adamw").rate == 1e-3
    assert Training(optimizer="sgd", lr=0.2).rate == 0.2


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("optimizer", "sdg", "did you mean 'sgd'"),
        ("schedule", "cosinus", "did you mean 'cosine'"),
        ("loss", "cross", "did you mean 'cross_entropy'"),
        ("augment", "flip", "did you mean 'flip_crop'"),
        ("epochs", -1, "whole number from 0"),
        ("epochs", 1.5, "whole number from 0"),
        ("batch_size", 0, "whole number from 1"),
        ("lr", 0.0, "above 0"),
        ("lr", float("nan"), "above 0"),
        ("weight_decay", -1e-4, "0 or above"),
        ("label_smoothing", 1.0, "below 1"),
        ("validation", 1.0, "below 1"),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_name(field: str, value: object, says: str) -> None:
    with pytest.raises(UsageError, match=field) as caught:
        Training(**{field: value})  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_patience_without_a_validation_part_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a validation part"):
        Training(patience=3, validation=0.0)


def test_only_what_differs_from_the_defaults_is_an_option() -> None:
    assert Training(epochs=3, seed=0).options() == {"epochs": 3}


def test_a_callable_of_the_users_is_a_loss_and_an_augmentation() -> None:
    assert Training(loss="net:loss", augment="net:jitter").options() == {"loss": "net:loss", "augment": "net:jitter"}
