"""Example inputs from shapes alone: ``[NAME=]1,3,32,32[:int64]``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from edgekit.config import parse_input_shape
from edgekit.errors import InputError
from edgekit.ir.types import dtype_of
from edgekit.tables import did_you_mean

Shape = tuple[str, tuple[int, ...], str | None]


def examples_from_shapes(module: nn.Module, shapes: Mapping[str, Any] | Sequence[str] | None) -> Any:
    """Arguments for one call of a module: shapes by parameter name, unnamed ones for the other parameters in their order.

    Args:
        module: the source.
        shapes: texts, or name -> shape, or name -> (shape, dtype name). Zeros are made: only shapes and types matter.

    Raises:
        InputError: no shapes, an unknown parameter, an unknown type, or a required argument without shape.
    """
    signature = inspect.signature(module.forward)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.KEYWORD_ONLY)
    parameters = [p for p in signature.parameters.values() if p.kind in kinds]
    if not shapes:
        wanted = ", ".join(p.name for p in parameters if p.default is p.empty)
        raise InputError(
            f"the shapes of the inputs ({wanted}) are not known",
            where=type(module).__name__,
            hint="pass example_inputs, return (module, example_inputs), or say --input-shape 1,3,32,32",
        )
    names = [p.name for p in parameters]
    given: dict[str, Any] = {}
    parsed = parsed_shapes(shapes)
    left = [name for name in names if name not in {name for name, _, _ in parsed}]
    for name, shape, dtype in parsed:
        if not name:
            if not left:
                raise InputError(
                    f"more input shapes than parameters of forward{signature}",
                    where=type(module).__name__,
                    hint=f"its parameters: {', '.join(names)}",
                )
            name = left.pop(0)
        if name not in names:
            raise InputError(
                f"forward{signature} has no parameter '{name}'", where=type(module).__name__, hint=did_you_mean(name, names)
            )
        given[name] = torch.zeros(shape, dtype=_dtype(dtype))
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in given]
    if missing:
        raise InputError(
            f"no shape for the input '{missing[0]}'", where=type(module).__name__, hint=f"add --input-shape {missing[0]}=1,..."
        )
    keyword_only = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    leading = [given[name] for name in names if name in given and name not in keyword_only]
    is_prefix = list(given) and all(name in given for name in names[: len(leading)])
    return tuple(leading) if is_prefix and not keyword_only & set(given) else given


def parsed_shapes(shapes: Mapping[str, Any] | Sequence[str]) -> list[Shape]:
    """(name, shape, element type) of each; the name of an unnamed one is ``""``."""
    if not isinstance(shapes, Mapping):
        return [parse_input_shape(text) for text in shapes]
    out: list[Shape] = []
    for name, value in shapes.items():
        typed = len(value) == 2 and not isinstance(value[0], int)
        shape, dtype = value if typed else (value, None)
        out.append((name, tuple(int(size) for size in shape), dtype))
    return out


def _dtype(name: str | None) -> torch.dtype:
    try:
        return dtype_of(name or "float32")
    except ValueError:
        raise InputError(
            f"unknown element type '{name}'", where="the shapes of the inputs", hint="float32, int64, int32, uint8, bool"
        ) from None
