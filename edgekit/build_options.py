"""The options of ``edgekit.build``: values from Python held to the types that edgekit.toml is held to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgekit import tables
from edgekit.config import BuildRequest
from edgekit.errors import UsageError

_WHERE = "edgekit.build"


def checked(options: Mapping[str, Any], named: Iterable[str]) -> dict[str, Any]:
    """Fields of a ``BuildRequest`` from keyword arguments; None is as good as not given.

    Args:
        options: settings are dataclasses, or tables as edgekit.toml has them.
        named: parameters that the caller has beside these, for the error about an unknown one.

    Raises:
        UsageError: an unknown option, or a value that it can't have.
    """
    known = {item.name for item in dataclasses.fields(BuildRequest)}
    if unknown := [option for option in options if option not in known]:
        hint = tables.did_you_mean(unknown[0], known | set(named))
        raise UsageError(f"edgekit.build has no option '{unknown[0]}'", where=_WHERE, hint=hint)
    given = {name: _as_table(value) for name, value in options.items() if value is not None}
    return tables.values_of(BuildRequest, given, file=Path(_WHERE))


def require_texts(**given: object) -> None:
    """Names and paths are texts or ``Path``; None is as good as not given, a list is one of such.

    Raises:
        UsageError: one is something else.
    """
    for option, value in given.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None and not isinstance(each, str | Path):
                raise UsageError(
                    f"'{option}' must be a text or a path, not {type(each).__name__} {each!r}",
                    where=_WHERE,
                    hint=f'{option}="..."',
                )


def _as_table(value: Any) -> Any:
    """A value as TOML would give it: settings are tables of what was said, tuples lists, numpy's numbers Python's."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _as_table(item) for name, item in fields.items() if item is not None}
    if isinstance(value, Mapping):
        return {key: _as_table(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_table(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.item() if type(value).__module__ == "numpy" and not getattr(value, "shape", ()) else value
