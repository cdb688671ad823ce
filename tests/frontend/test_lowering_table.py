"""A lowering's signature repeats its op's schema, so that arguments by name and defaults mean the same."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch._ops import OpOverload

from edgekit.frontend.torch.table import lowerings

ROWS = sorted(lowerings().items(), key=lambda row: str(row[0]))
#: Lowerings shared by ops whose arguments the traced result already tells.
WILDCARD = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def test_the_table_is_not_empty_and_has_no_writing_ops() -> None:
    assert len(ROWS) > 250
    assert not [str(op) for op, _ in ROWS if op._schema.is_mutable]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_a_signature_repeats_the_schema(row: tuple[OpOverload, Any]) -> None:
    op, lowering = row
    parameters = list(inspect.signature(lowering).parameters.values())[1:]
    if any(p.kind in WILDCARD for p in parameters):
        return
    schema = op._schema.arguments
    names = [p.name for p in parameters]
    for position, argument in enumerate(schema):
        if argument.kwarg_only:
            assert argument.name in names, f"{op}: no parameter '{argument.name}'"
        else:
            assert position < len(parameters) and parameters[position].kind is not inspect.Parameter.KEYWORD_ONLY
    by_name = {p.name: p for p in parameters}
    for argument in schema:
        parameter = by_name.get(argument.name)
        if parameter is not None and argument.has_default_value():
            assert parameter.default is not inspect.Parameter.empty, f"{op}: '{argument.name}' has a default"
            if isinstance(argument.default_value, bool | float | str) and parameter.default is not None:
                assert parameter.default == pytest.approx(argument.default_value) or isinstance(argument.default_value, bool)


def test_every_op_of_the_table_is_documented() -> None:
    assert all(lowering.__doc__ for _, lowering in ROWS if lowering.__name__ != "lower")
    assert all(torch.ops.aten is not None for _ in ROWS[:1])
