"""Tensors whose bytes lie in a file beside the model: only there, and only plain files."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit.errors import InputError

_HINT = "keep the files of external data beside the .onnx file; onnx.save(model, path) writes all into one"


def external_bytes(tensor: Any, size: int, folder: Path | None, place: str) -> bytes:
    """The ``size`` bytes of a tensor whose ``data_location`` is EXTERNAL.

    Raises:
        InputError: no folder is known, the file is outside of the model's folder (by its name or through a link), is no
            plain file, or is too short; or the place inside the file is impossible.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise InputError("external data of a model that has no file", where=place, hint=_HINT)
    path = _inside(location, folder, place)
    offset = _number(entries.get("offset", "0"), "offset", place)
    length = _number(entries.get("length", str(size)), "length", place)
    if length != size:
        raise InputError(f"the file gives it {length} bytes of external data, and its sizes {size}", where=place, hint=_HINT)
    try:
        with path.open("rb") as file:
            there = os.fstat(file.fileno()).st_size
            if offset + size > there:
                raise InputError(
                    f"'{location}' has {there} bytes; the tensor ends at byte {offset + size}", where=place, hint=_HINT
                )
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise InputError(f"cannot read the external data '{location}': {error.strerror}", where=place, hint=_HINT) from error


def _inside(location: str, folder: Path, place: str) -> Path:
    """The path, which neither its name nor a link leads out of the model's folder."""
    parts = PurePosixPath(location.replace("\\", "/"))
    if not parts.parts or "\0" in location or parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        raise InputError(f"external data at '{location}', which is not in the model's folder", where=place, hint=_HINT)
    path, home = (folder / parts).resolve(), folder.resolve()
    if not path.is_relative_to(home):
        raise InputError(f"external data at '{location}', a link out of the model's folder", where=place, hint=_HINT)
    if not path.is_file():
        raise InputError(f"there is no file '{location}' with the tensor's data", where=place, hint=_HINT)
    return path


def _number(text: str, what: str, place: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InputError(f"the {what} of external data is '{text}'", where=place, hint=_HINT)
    return int(text)
