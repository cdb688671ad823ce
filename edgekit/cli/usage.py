"""Click's own errors in the three-part form of :mod:`edgekit.errors`."""

from __future__ import annotations

from collections.abc import Iterable

import click

from edgekit.errors import UsageError
from edgekit.tables import nearest


def as_usage_error(error: click.ClickException, commands: Iterable[str]) -> UsageError:
    """A wrong option, argument or command as a UsageError that names the nearest right one."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    where = ctx.command_path if ctx else "edgekit"
    message = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption):
        known = [name for parameter in ctx.command.params for name in parameter.opts] if ctx else []
        return UsageError(f"no such option '{error.option_name}'", where=where, hint=_hint(error.option_name, known, where))
    if isinstance(error, click.UsageError) and message.startswith("No such command"):
        name = message.split("'")[1]
        return UsageError(f"no such command '{name}'", where=where, hint=_hint(name, commands, where))
    return UsageError(message[:1].lower() + message[1:], where=where, hint=f"`{where} --help` shows the right form")


def _hint(name: str, known: Iterable[str], where: str) -> str:
    best = nearest(name, known)
    return f"did you mean '{best}'?" if best else f"`{where} --help` lists them"
