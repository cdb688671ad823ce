"""The three parts of an error, its pickled form and the exit code of several."""

from __future__ import annotations

import pickle

import pytest

import edgekit as ek
from edgekit.errors import exit_code_of


def test_an_error_prints_what_where_and_try() -> None:
    error = ek.Unsupported("no lowering for 'aten.cumsum'", where="model.1 (net.py:30)\nmodel.2", hint="see `edgekit ops`")
    assert str(error) == (
        "no lowering for 'aten.cumsum'\n  where: model.1 (net.py:30)\n         model.2\n  try:   see `edgekit ops`"
    )
    assert str(ek.InputError("only what")) == "only what"


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(ek.ParityError("too far off", where="conv1", hint="use fp16")))
    assert (type(error), error.what, error.where, error.hint) == (ek.ParityError, "too far off", "conv1", "use fp16")
    assert str(error) == str(ek.ParityError("too far off", where="conv1", hint="use fp16"))


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([ek.OverBudget("")], 3),
        ([ek.OverBudget(""), ek.ParityError("")], 5),
        ([ek.ParityError(""), ek.InputError("")], 2),
        ([ek.ConfigError(""), ek.Unsupported("")], 4),
        ([ek.Unsupported(""), KeyError("bug")], 1),
        ([ek.DeviceError("")], 6),
        ([ek.Inconclusive("")], 7),
    ],
)
def test_several_failures_give_the_first_of_1_4_2_5_3(errors: list[BaseException], code: int) -> None:
    assert exit_code_of(errors) == code
