"""The fields of a step that were given, as they stand in a recipe; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import Any


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
