"""The errors a user can meet. Each says what happened, where in the user's model or files, and what to try.

Programmer errors (a wrong call inside edgekit) are ordinary Python exceptions and end with exit code 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class EdgekitError(Exception):
    """Root of all user errors.

    Args:
        what: one line, values quoted.
        where: the place in the user's model, file or command line (anything with a readable ``str``), or None.
        hint: what to try: a command, an option or a document.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, where: object | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.hint = hint

    def __str__(self) -> str:
        """The three parts as the command line prints them, without the leading ``error:``."""
        lines = [self.what]
        if self.where:
            lines.append("  where: " + self.where.replace("\n", "\n         "))
        if self.hint:
            lines.append("  try:   " + self.hint.replace("\n", "\n         "))
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (_rebuild, (type(self), self.what, self.where, self.hint))


def _rebuild(cls: type[EdgekitError], what: str, where: str | None, hint: str | None) -> EdgekitError:
    error = cls.__new__(cls)
    EdgekitError.__init__(error, what, where=where, hint=hint)
    return error


class UsageError(EdgekitError):
    """A wrong option, argument, name of a target, device or step."""


class ConfigError(EdgekitError):
    """A wrong key or value in edgekit.toml, a target file or a device file."""


class InputError(EdgekitError):
    """A model, weights or data file that is missing, damaged or does not fit."""


class OutputError(EdgekitError):
    """The output folder cannot be written (read-only, full)."""


class OverBudget(EdgekitError):
    """An artifact exceeds the device's budget or has grown past the baseline."""

    exit_code = 3


class Unsupported(EdgekitError):
    """Something in the model is not supported by the frontend, a step or the target."""

    exit_code = 4


class ParityError(EdgekitError):
    """The artifact's outputs or accuracy are below the floor."""

    exit_code = 5


class DeviceError(EdgekitError):
    """A device or the way to it failed."""

    exit_code = 6


class Inconclusive(EdgekitError):
    """A measurement is too noisy to decide."""

    exit_code = 7


#: Several failures in one build: the first of these that occurred is the exit code.
EXIT_CODE_ORDER: tuple[int, ...] = (1, 4, 2, 5, 3, 6, 7)


def exit_code_of(errors: Iterable[BaseException]) -> int:
    """The exit code for a build in which these errors occurred (0 for none)."""
    codes = {error.exit_code if isinstance(error, EdgekitError) else 1 for error in errors}
    return next((code for code in EXIT_CODE_ORDER if code in codes), 0)
