"""A terminal gets a bar, a listener a line an epoch, everybody else nothing."""

from __future__ import annotations

import io
import math
import sys

import pytest

from edgekit.train.progress import describe, progress
from edgekit.train.trained import Epoch, Trained
from tests.train.networks import digits

EPOCH = Epoch(0, {"task": 0.5, "soft": 0.25}, {"top1": 0.5}, {"loss": 0.7, "top1": 0.625})


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, said = Terminal(), []
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress(4, 1, 2, said.append) as shown:
        shown.step()
        shown.epoch(EPOCH)
    assert "epoch 1/2: loss 0.75, validation top-1 62.5%" in terminal.getvalue()
    assert said == []


def test_other_processes_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, said = Terminal(), []
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress(4, 0, 2, said.append, main=False) as shown:
        shown.step()
        shown.epoch(EPOCH)
    assert terminal.getvalue() == ""
    assert said == []


def test_an_epoch_is_described_by_what_was_measured() -> None:
    assert describe(EPOCH) == "loss 0.75, validation top-1 62.5%"
    assert describe(Epoch(0, {"task": 2.0}, {}, {"loss": 3.0})) == "loss 2, validation loss 3"
    assert describe(Epoch(0, {"task": 2.0}, {"top1": 0.5})) == "loss 2, training top-1 50.0%"


def test_an_epoch_whose_validation_loss_is_no_number_is_the_worst_and_fits_json() -> None:
    broken, fine = (Epoch(0, {}, {}, {"loss": loss}) for loss in (math.nan, 9.0))
    assert fine.rank > broken.rank
    assert not broken.rank > fine.rank
    assert Trained(digits(), (broken,), 0).details()["epochs"][0]["validation"] == {"loss": None}
