"""``[training]``: settings for every training of a recipe, where a step says nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.compress.fine_tune import FineTune
from edgekit.compress.prune import Prune
from edgekit.compress.recipe import Recipe
from edgekit.compress.sparsify import Sparsify
from edgekit.compress.steps import Step, parse_steps, steps_and_tables
from edgekit.errors import ConfigError, UsageError
from edgekit.train import Training

FILE = Path("edgekit.toml")


def parsed(*tables: dict[str, object], **training: Any) -> tuple[Step, ...]:
    return parse_steps(tables, FILE, training)


def test_every_step_that_trains_has_them_and_its_own_settings_come_first() -> None:
    steps = parsed(
        {"step": "prune", "macs": 0.5, "epochs": 2, "training": {"lr": 0.1}},
        {"step": "sparsify", "sparsity": 0.5, "epochs": 1},
        {"step": "fine_tune", "batch_size": 16},
        optimizer="sgd",
        lr=0.02,
        batch_size=64,
    )
    assert steps == (
        Prune(macs=0.5, epochs=2, training=Training(optimizer="sgd", lr=0.1, batch_size=64)),
        Sparsify(sparsity=0.5, epochs=1, training=Training(optimizer="sgd", lr=0.02, batch_size=64)),
        FineTune(optimizer="sgd", lr=0.02, batch_size=16),
    )


def test_epochs_are_those_of_steps_that_say_none_and_do_not_make_a_prune_train() -> None:
    tables: list[dict[str, object]] = [
        {"step": "prune", "macs": 0.5},
        {"step": "prune", "macs": 0.4, "epochs": 2},
        {"step": "fine_tune"},
        {"step": "fine_tune", "epochs": 1},
    ]
    assert parsed(*tables, epochs=7) == (
        Prune(macs=0.5),
        Prune(macs=0.4, epochs=2, training=Training()),
        FineTune(epochs=7),
        FineTune(epochs=1),
    )


def test_what_is_no_weight_is_not_moved_as_weights_are() -> None:
    """Scores, centroids and steps of quantisation have rates of their own; the data is everybody's."""
    names = ("supermask", "cluster", "qat", "binarize")
    tables: list[dict[str, object]] = [{"step": name, "epochs": 1} for name in names]
    plain, moved = parsed(*tables), parsed(*tables, {"step": "fine_tune"}, lr=0.3, optimizer="sgd")
    assert moved == (*plain, FineTune(lr=0.3, optimizer="sgd"))
    fed = parsed(*tables, lr=0.3, batch_size=16, augment="flip_crop")
    settings = [step.training for step in fed]  # type: ignore[attr-defined]
    assert [(how.batch_size, how.augment) for how in settings] == [(16, "flip_crop")] * 4
    assert [(how.optimizer, how.rate, how.weight_decay) for how in settings] == [
        ("adam", 0.1, 0.0), ("adam", 1e-4, 0.0), ("sgd", 0.01, 5e-4), ("adam", 1e-3, 0.0),
    ]  # fmt: skip
    assert [how.epochs for how in settings] == [Training().epochs] * 4


def test_an_unknown_key_is_refused_with_the_nearest_name_and_the_table() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'optimiser' in \[training\]") as caught:
        parsed({"step": "fine_tune"}, optimiser="sgd")
    assert caught.value.hint == "did you mean 'optimizer'?"
    with pytest.raises(ConfigError, match=r"unknown schedule 'cosin' \(in \[training\]\)"):
        parsed({"step": "fine_tune"}, schedule="cosin")


@pytest.mark.parametrize("tables", [(), ({"step": "prune", "macs": 0.5},)])
def test_settings_that_no_step_reads_are_refused(tables: tuple[dict[str, object], ...]) -> None:
    with pytest.raises(ConfigError, match="no step of the recipe reads it"):
        parsed(*tables, lr=0.1)


def test_what_is_wrong_in_a_step_is_said_of_the_step() -> None:
    with pytest.raises(ConfigError, match="unknown step 'prun'"):
        parsed({"step": "prun"}, {"step": "fine_tune"}, lr=0.1)
    with pytest.raises(ConfigError, match=r"unknown key 'lrr' in \[recipe 1: fine_tune\]"):
        parsed({"step": "fine_tune", "lrr": 0.1}, lr=0.1)


def test_a_recipe_in_python_is_steps_and_the_tables_that_say_the_same() -> None:
    given = (Prune(macs=0.5), FineTune(epochs=3))
    tables = ({"step": "prune", "macs": 0.5}, {"step": "fine_tune", "epochs": 3})
    assert steps_and_tables(Recipe(given)) == steps_and_tables(list(given)) == (given, tables)
    assert steps_and_tables(tables) == (None, tables)
    assert steps_and_tables(()) == steps_and_tables(None) == (None, ())
    assert parse_steps(tables, FILE) == given


def test_what_is_no_step_is_refused() -> None:
    with pytest.raises(UsageError, match="step 2 of the recipe is no step"):
        steps_and_tables([Prune(macs=0.5), FineTune])
