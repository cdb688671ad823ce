"""A ``.pt2`` archive looked at before torch reads it: torch runs what some of its parts hold."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.frontend.torch.archive_text import unsafe_text

AGAIN = "write it again with torch.export.save(program, path)"
_CHECKPOINT = "a checkpoint has no code: name the model (`package.module:callable`) and pass this file with --weights"

#: Parts that tell an exported program from other archives: of torch 2.7 and newer, and of older ones.
_MARKS = {"archive_format", "serialized_exported_program.json"}

#: Parts that torch would unpickle or load as machine code: Python objects, TorchBind objects, compiled models.
_EXECUTABLE = ("opaque_obj_", "custom_obj_", "data/aotinductor/")

#: What unpacked parts may take beyond the file itself: torch stores them as they are.
_MOST_UNPACKED = 64 * 2**20

#: The end of an archive without a comment. Readers that look for it elsewhere could see another archive than this one.
_END = b"PK\x05\x06"


def check_archive(path: Path) -> None:
    """Refuses what is damaged, is no exported program, or holds what would run when torch reads it.

    torch says nothing of parts whose checksum is wrong, and a page about archives of another kind.

    Raises:
        InputError: one of these.
    """
    what = f"'{path}' is damaged or no .pt2 file"
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            size = path.stat().st_size
            if sum(part.file_size for part in parts) > size + _MOST_UNPACKED:
                raise InputError(f"{what}: its parts are far larger than the file", where=path, hint=AGAIN)
            broken = archive.testzip()
            _check_ending(file, size, what, path)
            _check_parts([part.filename for part in parts], what, path)
            if broken is not None:
                raise InputError(f"{what}: the checksum of '{broken}' in it is wrong", where=path, hint=AGAIN)
            for part in parts:
                if part.filename.lower().endswith(".json"):
                    _check_text(archive.read(part), part.filename, path)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, IndexError):
        raise InputError(what, where=path, hint=AGAIN) from None


def _check_ending(file: Any, size: int, what: str, path: Path) -> None:
    file.seek(max(0, size - 22))
    if file.read(4) != _END:
        raise InputError(f"{what}: something follows the archive", where=path, hint=AGAIN)


def _check_parts(names: list[str], what: str, path: Path) -> None:
    """Names are compared without case, as torch looks parts up."""
    lower = [name.lower() for name in names]
    parts = {name.rpartition("/")[2] for name in lower}
    if not parts & _MARKS:
        hint = _CHECKPOINT if "data.pkl" in parts else AGAIN
        raise InputError(f"{what}: it holds no exported program", where=path, hint=hint)
    found = next((name for name in lower if any(mark in name for mark in _EXECUTABLE)), None)
    if found is not None:
        raise InputError(
            f"'{path}' holds more than a program and tensors ('{found}'): reading it could run code, so it is not read",
            where=path,
            hint="export the model without custom objects, and do not compile it",
        )
    if len(set(lower)) < len(lower):
        raise InputError(f"{what}: two parts of it have one name", where=path, hint=AGAIN)


def _check_text(content: bytes, name: str, path: Path) -> None:
    found = unsafe_text(content)
    if found is not None:
        raise InputError(
            f"'{path}' has {found} in '{name}': reading it could run code, so it is not read", where=path, hint=AGAIN
        )
