"""``Distillation`` and ``Hint`` are plain data, checked when they are written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import UsageError
from edgekit.tables import parse
from edgekit.train.distillation import Distillation, Hint


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0.0}, "'temperature' is above 0"),
        ({"temperature": float("nan")}, "'temperature' is above 0"),
        ({"alpha": 1.5}, "'alpha' is a share from 0 to 1"),
        ({"alpha": 0.0}, "nothing is distilled"),
        ({"teachers": ()}, "'teachers' is a list"),
        ({"teachers": "source"}, "'teachers' is a list"),
        ({"mean": "harmonic"}, "unknown mean 'harmonic'"),
        ({"kind": "class"}, "unknown kind 'class'"),
        ({"hint_epochs": -1}, "'hint_epochs' is a whole number from 0"),
        ({"hint_epochs": 2}, "'hint_epochs' without a hint"),
        ({"features": (Hint("a", of=1),)}, "is of teacher 1, and there are 1"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Distillation(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"student": ""}, "names a value of the student"),
        ({"student": "a", "loss": "atention"}, "unknown loss of features 'atention'"),
        ({"student": "a", "weight": 0.0}, "'weight' is above 0"),
        ({"student": "a", "of": -1}, "'of' is a number that counts the teachers"),
    ],
)
def test_a_hint_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Hint(**fields)


def test_it_is_read_from_a_table_and_written_as_one() -> None:
    table = {
        "temperature": 2.5,
        "alpha": 1.0,
        "teachers": ["source", "net:build@weights.pth"],
        "features": [{"student": "layer3", "loss": "hint", "weight": 2.0}],
        "hint_epochs": 3,
    }
    made = parse(Distillation, table, file=Path("edgekit.toml"))
    assert made.features == (Hint("layer3", loss="hint", weight=2.0),) and made.teachers[1] == "net:build@weights.pth"
    assert made.options() == table
    assert parse(Distillation, made.options(), file=Path("edgekit.toml")) == made
    assert Distillation().options() == {}


def test_a_hint_alone_in_its_stage_needs_no_large_weight() -> None:
    hint = Hint("a", loss="hint")
    assert Distillation(features=(hint,)).weight_of(hint) == 100
    assert Distillation(features=(hint,), hint_epochs=1).weight_of(hint) == 1
    assert Distillation().weight_of(Hint("a", weight=7.0)) == 7
