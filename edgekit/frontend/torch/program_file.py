"""``.pt2`` files: programs that ``torch.export.save`` wrote."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch
from torch.export.exported_program import ExportedProgram

from edgekit.errors import InputError
from edgekit.frontend.torch.export import quiet


def load_program(path: Path) -> ExportedProgram:
    """The program in a ``.pt2`` file.

    Raises:
        InputError: it can't be read, is damaged, or is no such file.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"'{path}' is damaged or no .pt2 file", where=path, hint="write it again with torch.export.save(program, path)"
        )
    try:
        with quiet():
            return torch.export.load(path)
    except Exception as error:  # whatever a damaged archive leads to
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(
            f"cannot read '{path}': {first}",
            where=path,
            hint=f"write it again with torch.export.save(program, path) of torch {torch.__version__}",
        ) from error
