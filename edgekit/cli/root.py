"""The ``edgekit`` command: finds the subcommand, and turns whatever it raises into text on stderr and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from edgekit import __version__
from edgekit.cli.process import become_command, leave, silence_stdout
from edgekit.cli.usage import as_missing_extra, as_usage_error
from edgekit.errors import EdgekitError, OutputError

#: Subcommand -> its one-line help. The command ``x`` is the click command ``x`` in ``edgekit.cli.x_command``; the help is
#: here so that ``edgekit --help`` imports none of them (a test compares it with theirs).
COMMANDS = {
    "bench": "Measure models on a device, against its budget.",
    "build": "Convert, compress, verify and measure a model for one or more targets.",
    "compare": "Run the same inputs through two forms of a model and show how far apart they are.",
    "doctor": "Show versions and tools found, and what each missing one disables.",
    "inspect": "Show the ops of a model with shapes, MACs, parameters, bytes and peak memory.",
    "init": "Write a commented edgekit.toml into this folder.",
    "ops": "List the supported operators as they are written in PyTorch, with their form in every runtime.",
    "pack": "Pack a model for delivery: as small as it gets, and byte for byte itself again on the device.",
    "targets": "List targets and devices.",
    "unpack": "Restore the model of an .ekz archive, byte for byte.",
}

_BROKEN_PIPE = 141  # as a shell reports a process that SIGPIPE ended
_INTERRUPTED = 130


class _ReaderLeft(Exception):
    """A broken pipe, under a name that click does not turn into exit code 1."""


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderLeft from error


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Parses the command line; ``--help`` prints here."""
        with _reader_may_leave():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        with _reader_may_leave():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"edgekit.cli.{cmd_name}_command"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in ``--help``, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgekit")
@click.option("--debug", is_flag=True, help="Show tracebacks (also EDGEKIT_DEBUG=1).")
@click.pass_context
def root(ctx: click.Context, debug: bool) -> None:
    """Trained models, made small and fast for phones, watches, Raspberry Pis and micro-controllers, and verified."""
    if debug:
        os.environ["EDGEKIT_DEBUG"] = "1"
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (the codes are listed in the README)."""
    if arguments is not None:
        return _run(arguments)
    become_command()  # the process is ours
    code = _run(None)
    leave(code)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    result: object = _BROKEN_PIPE  # of a command that its reader cut off in the middle
    try:
        result = root.main(args=None if arguments is None else list(arguments), prog_name="edgekit", standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except click.ClickException as error:
        return _tell(as_usage_error(error, COMMANDS))
    except EdgekitError as error:
        return _tell(error)
    except ModuleNotFoundError as error:
        missing = as_missing_extra(error)
        return _tell_bug(error) if missing is None else _tell(missing)
    except (BrokenPipeError, _ReaderLeft):
        # The reader of our output has gone (`edgekit targets | head -1`): a command that had finished keeps its own code.
        silence_stdout()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO) or error.filename is not None:
            return _tell_bug(error)
        silence_stdout()
        hint = "give the output another place, or free some space"
        return _tell(OutputError(f"cannot print the result: {error.strerror}", where="standard output", hint=hint))
    except Exception as error:  # the last resort: whatever arrives here is our own bug
        return _tell_bug(error)
    return result if isinstance(result, int) else 0


def _tell(error: EdgekitError) -> int:
    click.echo(f"error: {error}", err=True)
    if _debug():
        click.echo("".join(traceback.format_exception(error)), err=True)
    return error.exit_code


def _tell_bug(error: Exception) -> int:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    click.echo(f"error: this is a bug in edgekit: {type(error).__name__}: {error}", err=True)
    click.echo(f"  where: {frame.filename}:{frame.lineno}, in {frame.name}", err=True)
    if _debug():
        click.echo("".join(traceback.format_exception(error)), err=True)
    else:
        click.echo("  try:   run it again with `edgekit --debug ...` and report what that prints", err=True)
    return 1


def _debug() -> bool:
    return os.environ.get("EDGEKIT_DEBUG", "") not in ("", "0")
