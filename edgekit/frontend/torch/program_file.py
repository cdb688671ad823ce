"""``.pt2`` files: programs that ``torch.export.save`` wrote, read without running anything in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.export.exported_program import ExportedProgram

from edgekit.errors import EdgekitError, InputError
from edgekit.frontend.torch.archive import AGAIN, check_archive
from edgekit.frontend.torch.export import quiet

#: torch unpickles without restraint where a part cannot be read with it, unless this is set.
_RESTRAINED = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": None}


def load_program(path: Path) -> ExportedProgram:
    """The program in a ``.pt2`` file.

    Raises:
        InputError: it can't be read, is damaged, is no such file, or holds something that would run when it is read.
    """
    check_archive(path)
    try:
        with quiet(), _environment(_RESTRAINED):
            program = torch.export.load(path)
            program._guards_code = []  # Python about the examples' shapes, which `program.module()` would run
            return program
    except Exception as error:  # whatever a damaged archive leads to
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if "weights_only" in str(error) or "Weights only" in str(error):
            first = "it holds more than tensors, and reading that could run code"
        raise InputError(
            f"cannot read '{path}': {first}",
            where=path,
            hint=f"write it again with torch.export.save(program, path) of torch {torch.__version__}",
        ) from error


@contextmanager
def consistent(path: Path) -> Iterator[None]:
    """Around the translation of a program from a file: one that contradicts itself is damaged, wherever that shows.

    Raises:
        InputError: in place of any exception that is none for users.
    """
    try:
        yield
    except EdgekitError:
        raise
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"the program in '{path}' contradicts itself: {first}", where=path, hint=AGAIN) from error


@contextmanager
def _environment(values: dict[str, str | None]) -> Iterator[None]:
    """Environment variables set (None: unset) inside the block."""
    before = {name: os.environ.get(name) for name in values}
    try:
        _set(values)
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
