"""The table of lowerings: one function per operator of ONNX."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.rows import Row

#: What a lowering returns: the operator's result, or its results (None for one that has no form in the graph).
Result = Operand | Row | tuple[Operand | None, ...]

_LOWERINGS: dict[str, Callable[..., Result]] = {}


def lowers(*operators: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Registers a lowering for operators of the domain ai.onnx, for all opsets that are read.

    The function takes the ``Lowering`` context, the operator's inputs by position, and its attributes by name, with ONNX's
    defaults. A setting that was an attribute and became an input has one parameter for both. A parameter annotated ``Value``
    is a tensor of the graph; one annotated ``Operand`` may also be sizes that hold the batch, and ``Row`` is a sequence.
    """

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        for operator in operators:
            if operator in _LOWERINGS:
                raise ValueError(f"two lowerings for {operator}")
            _LOWERINGS[operator] = function
        return function

    return register


@functools.cache
def lowerings() -> dict[str, Callable[..., Result]]:
    """All lowerings; imports every module of the folder ``lowerings``."""
    from edgekit.frontend.onnx import lowerings as folder

    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    return _LOWERINGS


def call(
    function: Callable[..., Result], ctx: Lowering, inputs: Sequence[Operand | Row | None], attributes: dict[str, Any]
) -> Result:
    """Calls a lowering with a node's inputs and attributes.

    Raises:
        Unsupported: the node has inputs or attributes that the operator does not know, or lacks some.
    """
    positional, spread = _parameters(function)
    given: list[Any] = []
    for index, x in enumerate(inputs):
        ctx.need(index < len(positional) or spread, f"has {len(inputs)} inputs; edgekit knows {len(positional)}")
        name, annotation = positional[min(index, len(positional) - 1)]
        ctx.need(x is not None or "None" in annotation, f"lacks its input '{name}'")
        kind = "Row" if isinstance(x, Row) else "Operand"
        given.append(x if x is None or kind in annotation else ctx.tensor(x))
    while given and given[-1] is None and not spread:
        given.pop()
    try:
        inspect.signature(function).bind(ctx, *given, **attributes)
    except TypeError as error:
        raise ctx.refused(f"'{ctx.op_name}' does not have the form that ONNX defines: {error}") from None
    return function(ctx, *given, **attributes)


@functools.cache
def _parameters(function: Callable[..., Result]) -> tuple[tuple[tuple[str, str], ...], bool]:
    """Names and annotations of the inputs, and whether the last takes any number."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    inputs = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    spread = any(p.kind is p.VAR_POSITIONAL for p in inputs)
    return tuple((p.name, str(p.annotation)) for p in inputs), spread
