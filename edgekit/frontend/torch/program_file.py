"""``.pt2`` files: programs that ``torch.export.save`` wrote, read without running anything in them."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.export.exported_program import ExportedProgram

from edgekit.errors import InputError
from edgekit.frontend.torch.export import quiet

_AGAIN = "write it again with torch.export.save(program, path)"
_CHECKPOINT = "a checkpoint has no code: name the model (`package.module:callable`) and pass this file with --weights"

#: Parts that tell an exported program from other archives: of torch 2.7 and newer, and of older ones.
_MARKS = {"archive_format", "serialized_exported_program.json"}

#: Parts that torch would unpickle or load as machine code: Python objects, TorchBind objects, compiled models.
_EXECUTABLE = ("opaque_obj_", "custom_obj_", "data/aotinductor/")

#: torch unpickles without restraint where a part cannot be read with it, unless this is set.
_RESTRAINED = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": None}


def load_program(path: Path) -> ExportedProgram:
    """The program in a ``.pt2`` file.

    Raises:
        InputError: it can't be read, is damaged, is no such file, or holds something that would run when it is read.
    """
    _check_archive(path)
    try:
        with quiet(), _environment(_RESTRAINED):
            return torch.export.load(path)
    except Exception as error:  # whatever a damaged archive leads to
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if "weights_only" in str(error) or "Weights only" in str(error):
            first = "it holds more than tensors, and reading that could run code"
        raise InputError(
            f"cannot read '{path}': {first}",
            where=path,
            hint=f"write it again with torch.export.save(program, path) of torch {torch.__version__}",
        ) from error


def _check_archive(path: Path) -> None:
    """torch says nothing of parts whose checksum is wrong, and a page about archives of another kind."""
    what = f"'{path}' is damaged or no .pt2 file"
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            names = archive.namelist()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError):
        raise InputError(what, where=path, hint=_AGAIN) from None
    if broken is not None:
        raise InputError(f"{what}: the checksum of '{broken}' in it is wrong", where=path, hint=_AGAIN)
    parts = {name.rpartition("/")[2] for name in names}
    if not parts & _MARKS:
        hint = _CHECKPOINT if "data.pkl" in parts else _AGAIN
        raise InputError(f"{what}: it holds no exported program", where=path, hint=hint)
    found = next((name for name in names if any(mark in name for mark in _EXECUTABLE)), None)
    if found is not None:
        raise InputError(
            f"'{path}' holds more than a program and tensors ('{found}'): reading it could run code, so it is not read",
            where=path,
            hint="export the model without custom objects, and do not compile it",
        )


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
