"""The fields of a step that were given, as they stand in a recipe; imports nothing heavy."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from edgekit.errors import ConfigError, UsageError
from edgekit.tables import values_of

_Apply = TypeVar("_Apply", bound=Callable[..., Any])

#: Fields of steps that are settings of their own, tables in a file.
_SETTINGS = ("training", "distillation", "controls", "head")

#: Annotations of those that are nothing else.
_CLASSES = ("Training | None", "Distillation | None")


def options_of(step: Any) -> dict[str, Any]:
    """The fields of a step that differ from their defaults, as plain data: what ``[[recipe]]`` would say.

    Args:
        step: a dataclass whose fields are plain data, tuples of such, or have ``options()`` themselves (``Training`` ...).
    """
    found = {field.name: (getattr(step, field.name), field.default) for field in dataclasses.fields(step)}
    return {name: plain(value) for name, (value, default) in found.items() if value != default}


def plain(value: Any) -> Any:
    """One field as it stands in a recipe."""
    if hasattr(value, "options"):
        return value.options()
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def takes_a_graph(apply: _Apply) -> _Apply:
    """A step's ``apply``, which refuses the likeliest other thing, a module, before it looks for a graph's parts in it."""

    @functools.wraps(apply)
    def checked(self: Any, graph: Any, *args: Any, **named: Any) -> Any:
        require_graph(graph)
        return apply(self, graph, *args, **named)

    return cast("_Apply", checked)


def require_graph(graph: object) -> None:
    """Raises a UsageError for what is no graph."""
    if not hasattr(graph, "history"):
        raise UsageError(
            f"steps change a graph, not a '{type(graph).__name__}'",
            where="apply",
            hint="graph = edgekit.load(model, (example_input,)), or a file: edgekit.load('net.onnx')",
        )


def _table(value: dict[Any, Any]) -> dict[Any, Any]:
    """With lists for tuples, as in a file."""
    return {key: list(each) if isinstance(each, tuple) else each for key, each in value.items()}


def take_tables(step: Any, name: str) -> None:
    """Makes settings of dictionaries, which stand for them in Python as tables do in a file: ``training={"lr": 0.1}``.

    Args:
        step: a frozen dataclass, while it is made.
        name: of the step, for errors.

    Raises:
        UsageError: an unknown key, or a value that cannot be; and what is neither settings nor a dictionary.
    """
    given = {field.name: getattr(step, field.name) for field in dataclasses.fields(step) if field.name in _SETTINGS}
    tables = {field: _table(value) for field, value in given.items() if isinstance(value, dict)}
    try:
        found = values_of(type(step), tables, file=Path(name))
    except ConfigError as error:
        raise UsageError(error.what, where=name, hint=error.hint) from None
    for field, settings in found.items():
        object.__setattr__(step, field, settings)
    for each in dataclasses.fields(step):
        value = getattr(step, each.name)
        if each.type not in _CLASSES or value is None or dataclasses.is_dataclass(value):
            continue
        hint = f"{each.name}=edgekit.{each.name.capitalize()}(...), or a dictionary of its fields"
        raise UsageError(f"'{each.name}' is settings or a table of them, not {value!r}", where=name, hint=hint)
