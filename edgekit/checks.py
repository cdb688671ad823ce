"""Checks of fields that a user sets; errors say whose field it is, what it may be, and an example."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgekit.errors import UsageError
from edgekit.tables import did_you_mean


@dataclass(frozen=True)
class Fields:
    """Checks of the fields of one thing.

    Attributes:
        owner: what has them, as the user knows it: ``prune``, ``training``.
    """

    owner: str

    def refusal(self, name: str, what: str, hint: str) -> UsageError:
        """An error about a field."""
        return UsageError(what, where=f"{self.owner}: {name}" if name else self.owner, hint=hint)

    def number(
        self,
        name: str,
        value: object,
        means: str,
        hint: str,
        *,
        least: float = -math.inf,
        above: float = -math.inf,
        most: float = math.inf,
        below: float = math.inf,
        optional: bool = False,
    ) -> None:
        """A finite number within bounds.

        Args:
            name: of the field.
            value: that it has.
            means: what it may be: ``a share from 0 to below 1``.
            hint: an example.
            least: a bound that belongs to the range.
            above: one that does not.
            most: the upper bound, where it belongs.
            below: where it does not.
            optional: None is as good.

        Raises:
            UsageError: anything else: also infinite, not a number, or a bool.
        """
        if value is None and optional:
            return
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or not (least <= value <= most and above < value < below):  # type: ignore[operator]
            raise self.refusal(name, f"'{name}' is {means}, not {_shown(value)}", hint)

    def whole(
        self,
        name: str,
        value: object,
        least: int,
        hint: str,
        *,
        most: float = math.inf,
        means: str = "",
        optional: bool = False,
    ) -> None:
        """A whole number from ``least``; with ``optional``, or None.

        Raises:
            UsageError: anything else.
        """
        if value is None and optional:
            return
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            upper = "" if most == math.inf else f" to {most:g}"
            raise self.refusal(name, f"'{name}' is {means or f'a whole number from {least}{upper}'}, not {_shown(value)}", hint)

    def word(self, name: str, value: object, known: Sequence[str], kind: str = "") -> None:
        """One of some words.

        Raises:
            UsageError: another, with the nearest.
        """
        if value not in known:
            raise self.refusal(name, f"unknown {kind or name} '{value}'", did_you_mean(str(value), known))

    def names(self, name: str, value: object, hint: str = 'a list such as ["conv1", "head.*"]') -> None:
        """Several names: a tuple or list of strings.

        Raises:
            UsageError: anything else, a single string above all, whose letters would be taken for names.
        """
        if isinstance(value, str) or not isinstance(value, Iterable) or not all(isinstance(each, str) for each in value):
            raise self.refusal(name, f"'{name}' is a list of names, not {value!r}", hint)

    def training(self, step: object, epochs: int, names: Sequence[str], of: str, hint: str = "epochs = 2") -> None:
        """Settings of a training that takes place.

        Raises:
            UsageError: one of them is given, and there are no epochs.
        """
        for name in names:
            if getattr(step, name) and not epochs:
                raise self.refusal(name, f"'{name}' is for the training {of}", hint)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and not math.isfinite(value) else repr(value)
