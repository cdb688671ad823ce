"""A pruned network beside its architecture trained from scratch, for equal epochs and for equal compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.compress.context import Context
from edgekit.compress.controls import Controls
from edgekit.compress.fine_tune import FineTune
from edgekit.compress.prune import Prune
from edgekit.compress.recipe import Recipe
from edgekit.compress.steps import parse_steps
from edgekit.data import Data
from edgekit.errors import ConfigError, UsageError
from edgekit.ir import Graph
from edgekit.train import Training
from edgekit.train.checkpoint import Checkpoint
from edgekit.train.distillation import Distillation
from edgekit.train.fresh import untrained
from edgekit.train.loop import train
from edgekit.train.randomness import mixed
from tests.train.networks import blobs, digits, same

torch.set_num_threads(1)

DATA = Data(train=blobs(), evaluate=blobs(48, seed=1))
HOW: dict[str, Any] = {"batch_size": 32, "lr": 0.01}
PRUNE = Prune(macs=0.4, rounds=2, epochs=2, training=Training(**HOW), controls=True)


def pruned_with_controls() -> Graph:
    return PRUNE.apply(digits(), DATA, context=Context(source=digits()))


def test_the_record_has_both_controls_beside_the_pruned_network() -> None:
    small = pruned_with_controls()
    record = small.history[-1]
    rows = record.details["controls"]
    assert list(rows) == ["pruned", "scratch_e", "scratch_b"]
    before, after = record.macs
    assert rows["pruned"]["trained_epochs"] == rows["scratch_e"]["trained_epochs"] == 4  # two rounds of two
    assert rows["scratch_b"]["trained_epochs"] == round(4 * before / after) > 8
    for name in ("scratch_e", "scratch_b"):
        assert len(rows[name]["epochs"]) == rows[name]["trained_epochs"]
        assert set(rows[name]["metrics"]) == {"top1", "macro_f1"}
        assert set(rows[name]["validation"]) == {"loss", "top1"}
    assert rows["pruned"]["validation"] == record.details["rounds"][-1]["epochs"][-1]["validation"]
    json.dumps(record.as_dict(), allow_nan=False)


def test_scratch_e_is_the_pruned_architecture_trained_from_new_weights_with_the_same_settings() -> None:
    small = pruned_with_controls()
    begin = untrained(small, mixed(0, "from scratch"))
    expected = train(begin, DATA, Training(epochs=4, **HOW))
    row = small.history[-1].details["controls"]["scratch_e"]
    assert [e["terms"] for e in row["epochs"]] == [dict(e.terms) for e in expected.epochs]


def test_the_result_is_the_same_with_controls_and_without() -> None:
    plain = Prune(macs=0.4, rounds=2, epochs=2, training=Training(**HOW)).apply(digits(), DATA)
    assert same(plain, pruned_with_controls())


def test_controls_of_fine_tuning_count_the_epochs_and_the_macs_since_the_first_removal() -> None:
    recipe = Recipe([FineTune(epochs=3, **HOW), Prune(macs=0.4, epochs=1), FineTune(epochs=2, controls=True, **HOW)])
    small = recipe.apply(digits(), DATA)
    rows = small.history[-1].details["controls"]
    assert rows["scratch_e"]["trained_epochs"] == 3  # one after pruning, two now; not those before it
    assert rows["scratch_b"]["trained_epochs"] == round(3 * digits().macs / small.macs)
    assert rows["pruned"]["metrics"]["top1"] == small.history[-1].metrics["top1"][1]


def test_own_epochs_rate_and_seed_are_those_of_the_controls_alone() -> None:
    step = Prune(macs=0.7, epochs=1, training=Training(**HOW), controls=Controls(epochs=3, lr=0.05, seed=4))
    rows = step.apply(digits(), DATA).history[-1].details["controls"]
    assert [len(rows[name]["epochs"]) for name in ("scratch_e", "scratch_b")] == [3, round(3 / 0.7)]
    constant = Training(epochs=3, batch_size=32, lr=0.05)
    small = step.apply(digits(), DATA)
    expected = train(untrained(small, mixed(4, "from scratch")), DATA, constant)
    assert rows["scratch_e"]["epochs"][0]["terms"] == dict(expected.epochs[0].terms)


def test_controls_learn_from_the_same_teachers() -> None:
    step = Prune(macs=0.4, epochs=1, training=Training(**HOW), distillation=Distillation(alpha=0.5), controls=True)
    rows = step.apply(digits(), DATA, context=Context(source=digits())).history[-1].details["controls"]
    assert set(rows["scratch_e"]["epochs"][0]["terms"]) == {"task", "soft_targets"}


def test_where_nothing_was_pruned_there_is_no_second_control_and_a_note_says_why() -> None:
    record = Prune(macs=1.0, epochs=1, training=Training(**HOW), controls=True).apply(digits(), DATA).history[-1]
    assert list(record.details["controls"]) == ["pruned", "scratch_e"]
    assert any("there is no Scratch-B" in note for note in record.notes)


def test_a_control_that_is_as_good_is_pointed_out_and_is_no_failure() -> None:
    step = Prune(ratio=0.5, epochs=1, training=Training(batch_size=32, lr=1e-6), controls=Controls(epochs=6, lr=0.02))
    record = step.apply(digits(), DATA).history[-1]
    assert any("no better than its architecture trained from scratch with equal epochs" in note for note in record.notes)
    assert not record.warnings


def test_where_labels_are_no_classes_the_loss_of_what_was_held_out_decides() -> None:
    x, _ = blobs()
    data = Data(train=(x, x.mean(axis=(1, 2, 3))[:, None].repeat(4, 1)))
    for lr, is_better in ((1e-6, True), (1e-2, False)):
        step = Prune(
            ratio=0.5, epochs=1, training=Training(batch_size=32, lr=lr), controls=Controls(lr=1e-2 if is_better else 1e-6)
        )
        record = step.apply(digits(), data).history[-1]
        assert set(record.details["controls"]["scratch_e"]["validation"]) == {"loss"}
        assert record.details["controls"]["scratch_e"]["metrics"] == {}
        assert any("equal epochs" in note and "(loss" in note for note in record.notes) == is_better


class _Killed(Exception):
    pass


@pytest.mark.parametrize("saves", [pytest.param(1, marks=pytest.mark.slow), 5, pytest.param(12, marks=pytest.mark.slow)])
def test_a_step_that_was_cut_off_in_its_controls_ends_as_if_it_had_not_been(
    saves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint an epoch: 2 + 2 of rounds, 4 of Scratch-E, the rest of Scratch-B."""
    real, left = Checkpoint.save, saves

    def save(self: Checkpoint, folder: Path) -> None:
        nonlocal left
        if left == 0:
            raise _Killed
        left -= 1
        real(self, folder)

    monkeypatch.setattr(Checkpoint, "save", save)
    with pytest.raises(_Killed):
        PRUNE.apply(digits(), DATA, context=Context(folder=tmp_path))
    monkeypatch.setattr(Checkpoint, "save", real)
    again = PRUNE.apply(digits(), DATA, context=Context(folder=tmp_path))
    whole = pruned_with_controls()
    assert same(again, whole)
    assert _timeless(again.history[-1].details) == _timeless(whole.history[-1].details)


def _timeless(details: Any) -> Any:
    if isinstance(details, dict):
        return {key: _timeless(value) for key, value in details.items() if key != "seconds"}
    return [_timeless(value) for value in details] if isinstance(details, list | tuple) else details


def test_controls_read_from_a_recipe_as_a_switch_or_a_table() -> None:
    tables: list[dict[str, object]] = [
        {"step": "prune", "macs": 0.5, "epochs": 1, "controls": True},
        {"step": "fine_tune", "epochs": 1, "controls": {"lr": 0.1, "epochs": 20}},
    ]
    first, second = parse_steps(tables, Path("edgekit.toml"))
    assert isinstance(first, Prune) and first.controls is True
    assert isinstance(second, FineTune) and second.controls == Controls(epochs=20, lr=0.1)
    assert [{"step": name, **step.options()} for name, step in (("prune", first), ("fine_tune", second))] == tables
    with pytest.raises(ConfigError, match="unknown key 'epoch'"):
        parse_steps([{"step": "fine_tune", "controls": {"epoch": 20}}], Path("edgekit.toml"))


@pytest.mark.parametrize("make", [lambda: Prune(ratio=0.5, controls=True), lambda: FineTune(epochs=0, controls=True)])
def test_controls_of_a_step_that_trains_nothing_are_refused(make: Any) -> None:
    with pytest.raises(UsageError, match="this step trains nothing") as caught:
        make()
    assert "fine_tune" in str(caught.value.hint)


def test_controls_of_a_network_that_was_not_pruned_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(UsageError, match="no step before this pruned"):
        FineTune(epochs=1, controls=True).apply(digits(), None)


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"seed": -1}, {"lr": 0.0}, {"lr": float("nan")}])
def test_settings_of_controls_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"'{next(iter(wrong))}' is "):
        Controls(**wrong)
