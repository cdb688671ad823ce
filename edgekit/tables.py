"""Tables of TOML become frozen dataclasses; a wrong key or value becomes a ConfigError that names file, table and nearest key.

The dataclass is the schema: its field names are the keys, its annotations the types, a field without default is a required key.
Supported annotations: ``str``, ``int``, ``float`` (an integer is taken as one), ``bool``, ``Literal[...]``, ``Path``,
``X | None``, ``tuple[X, ...]``, ``Mapping[str, X]``, another dataclass, and ``object`` (any plain data). Constraints beyond
types belong into ``__post_init__``, which raises ``ValueError`` with one sentence.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from edgekit.errors import ConfigError

T = TypeVar("T")

_EXAMPLE = "`edgekit init` in an empty folder writes an example of every key"

_KINDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", Path: "a path (a string)"}


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; ConfigError for a file that is missing, unreadable or not TOML."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {error.strerror}", where=path, hint="check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid TOML: {error}", where=path, hint="strings are quoted, tables are [in.brackets]") from None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like the given one, or None where none is similar."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest known name, or all of them."""
    names = sorted(known)
    best = nearest(name, names)
    return f"did you mean '{best}'?" if best else "known: " + ", ".join(names)


def parse(cls: type[T], table: Mapping[str, Any], *, file: Path, at: str = "") -> T:
    """A frozen dataclass from a TOML table.

    Args:
        cls: the dataclass.
        table: the parsed table.
        file: where it was read, for errors.
        at: the table's dotted name inside the file, ``""`` for the top level.

    Raises:
        ConfigError: unknown or missing key, wrong type, or a value that the dataclass refuses.
    """
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    unknown = [key for key in table if key not in fields]
    if unknown:
        raise ConfigError(f"unknown key '{unknown[0]}'{_in(at)}", where=file, hint=did_you_mean(unknown[0], fields))
    values = values_of(cls, table, file=file, at=at)
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"missing key '{name}'{_in(at)}", where=file, hint=f"add `{name} = ...`")
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(f"{error}{_in(at)}", where=file, hint=_EXAMPLE) from None


def values_of(cls: type[Any], table: Mapping[str, Any], *, file: Path, at: str = "") -> dict[str, Any]:
    """The values of a table as the fields of a dataclass want them; see ``parse``."""
    hints = typing.get_type_hints(cls)
    return {key: _convert(value, hints[key], file=file, at=_join(at, key)) for key, value in table.items()}


def _convert(value: Any, annotation: Any, *, file: Path, at: str) -> Any:
    """One value as the annotation wants it, or ConfigError."""
    if annotation is Any or annotation is object:
        return value
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, arguments, file=file, at=at)
    if origin is Literal:
        if value in arguments and type(value) in {type(argument) for argument in arguments}:
            return value
        hint = (
            did_you_mean(value, [str(a) for a in arguments])
            if isinstance(value, str)
            else "it is one of these texts, in quotes"
        )
        raise ConfigError(f"'{at}' must be one of {_listed(arguments)}, not {_shown(value)}", where=file, hint=hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(item, arguments[0], file=file, at=f"{at}[{index}]") for index, item in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {key: _convert(item, arguments[1], file=file, at=_join(at, key)) for key, item in value.items()}
    if origin in (tuple, Mapping):
        kind = "a list" if origin is tuple else "a table"
        raise ConfigError(f"'{at}' must be {kind}, not {_shown(value)}", where=file, hint=_EXAMPLE)
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        if not isinstance(value, dict):
            raise ConfigError(f"'{at}' must be a table, not {_shown(value)}", where=file, hint=f"write [{at}]")
        return parse(annotation, value, file=file, at=at)
    return _convert_scalar(value, annotation, file=file, at=at)


def _convert_union(value: Any, members: tuple[Any, ...], *, file: Path, at: str) -> Any:
    """The first member that takes the value; the error of the last one otherwise."""
    wanted = [member for member in members if member is not type(None)]
    for member in wanted[:-1]:
        try:
            return _convert(value, member, file=file, at=at)
        except ConfigError:
            continue
    return _convert(value, wanted[-1], file=file, at=at)


def _convert_scalar(value: Any, wanted: type, *, file: Path, at: str) -> Any:
    if wanted is Path and isinstance(value, str):
        return Path(value)
    # bool is a subclass of int in Python, not in a config file.
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"'{at}' is too large", where=file, hint=_EXAMPLE) from None
    if type(value) is wanted:
        return value
    raise ConfigError(f"'{at}' must be {_KINDS[wanted]}, not {_shown(value)}", where=file, hint=_EXAMPLE)


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _in(at: str) -> str:
    return f" in [{at}]" if at else ""


def _shown(value: Any) -> str:
    return "a table" if isinstance(value, dict) else repr(value)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(repr(value) for value in values)
