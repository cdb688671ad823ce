"""Click's own errors, and packages that are not installed, in the three-part form of :mod:`edgekit.errors`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from edgekit.errors import UsageError
from edgekit.tables import nearest

#: Importable name -> the extra of edgekit that installs it.
EXTRAS = {
    "accelerate": "train",
    "ai_edge_litert": "build",
    "keras": "tensorflow",
    "onnx": "build",
    "onnxruntime": "build",
    "safetensors": "build",
    "tensorflow": "tensorflow",
    "tflite_micro": "micro",
    "torch": "build",
}


def as_missing_extra(error: ModuleNotFoundError) -> UsageError | None:
    """A package of one of edgekit's extras that is not installed, as a UsageError; None for any other module."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    what = f"this needs the package '{package}', which is not installed"
    return UsageError(what, where=sys.executable, hint=f'pip install "edgekit[{extra}]"')


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
