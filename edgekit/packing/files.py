"""``ek.pack`` and ``ek.unpack``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgekit.errors import InputError, OutputError, UsageError
from edgekit.packing.archive import MOST_BYTES, Packed, read, write
from edgekit.packing.damage import Damaged
from edgekit.packing.several import MAGIC, Part, join, parts_of

#: A file, or what is in it.
Source = str | os.PathLike[str] | bytes


def pack(model: Source | Mapping[str, Source], output: str | os.PathLike[str] | None = None, *, fast: bool = False) -> Packed:
    """Packs a file for delivery. The same file gives the same archive.

    Args:
        model: a .tflite or .onnx file, or any other; or its bytes. Several by name, the sizes of a slimmable network with the
            largest first, become one archive, in which the others are written as parts of the first where they are that.
        output: the archive's path; nothing is written if None.
        fast: Huffman codes alone for weights: the archive is larger, and Python unpacks it in a fraction of a second.

    Returns:
        The archive: its ``data``, and in ``parts`` the bytes by what they are for.

    Raises:
        InputError: the file can't be read, is empty or larger than 2 GiB, or begins as several files do.
        OutputError: the archive can't be written.
    """
    where: str | None
    if isinstance(model, Mapping):
        files = {name: _content(source)[0] for name, source in model.items()}
        data, where = join(files) if files else b"", ", ".join(files)
    else:
        data, where = _content(model)
        if data.startswith(MAGIC):
            what = f"this file begins with '{MAGIC.decode()}', which marks several files in one"
            raise InputError(what, where=where, hint="a model file, or several by name: ek.pack({'1': ..., '0.5': ...})")
    if not data:
        raise InputError("there is nothing to pack: the file is empty", where=where, hint="the path of a model file")
    if len(data) > MOST_BYTES:
        raise InputError(f"{len(data):,} bytes are too many to pack", where=where, hint="files of up to 2 GiB")
    packed = write(data, fast=fast)
    if read(packed.data) != data:  # never silently wrong, whatever the file
        raise AssertionError("the archive does not unpack to the file")
    if output is not None:
        write_file(Path(output), packed.data)
    return packed


def unpack(archive: Source, output: str | os.PathLike[str] | None = None, *, width: float | str | None = None) -> bytes:
    """The file of an archive, byte for byte.

    Args:
        archive: an .ekz file, or its bytes.
        output: where to write the file; nothing is written if None, or where the archive is damaged.
        width: which one of an archive of several files, by name: ``0.5``.

    Raises:
        InputError: the archive can't be read, is none, or is damaged.
        UsageError: it holds several files and none is named, or none of this name.
        OutputError: the file can't be written.
    """
    content, where = _content(archive)
    try:
        data = read(content)
        parts = parts_of(data)
    except Damaged as error:
        raise InputError(
            f"this is no sound .ekz archive: {error}", where=where, hint="copy or download it again, or pack the model anew"
        ) from error
    except MemoryError as error:
        hint = "another machine, or, where the archive is not your own, look where it comes from"
        raise InputError("there is not enough memory for what this archive declares", where=where, hint=hint) from error
    data = _one_of(data, parts, width, where)
    if output is not None:
        write_file(Path(output), data)
    return data


def _plain(name: str) -> str:
    """A size as names have it, 0.50 as 0.5; anything else as it is."""
    try:
        return "x".join(f"{float(part):g}" for part in name.split("x"))
    except ValueError:
        return name


def _one_of(data: bytes, parts: tuple[Part, ...], width: float | str | None, where: str | None) -> bytes:
    """The file of this name, where there are several."""
    wanted = None if width is None else width if isinstance(width, str) else f"{width:g}"
    if wanted is None and not parts:
        return data
    for part in parts:
        if wanted is not None and part.name in (wanted, _plain(wanted)):
            return data[part.start : part.start + part.size]
    names = ", ".join(part.name for part in parts)
    if not parts:
        raise UsageError("the archive holds one file, and no widths", where=where, hint="leave the width out")
    what = f"the archive holds {len(parts)} files" + ("" if wanted is None else f", and none is called '{wanted}'")
    raise UsageError(what, where=where, hint=f"one of the widths {names}")


def write_decoder(folder: Path) -> tuple[Path, ...]:
    """Writes the C99 decoder, ``ekz.c`` and ``ekz.h``, into a folder, which is made; OutputError where it can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make this folder: {error.strerror}", where=folder, hint="another folder") from error
    written = []
    for source in sorted((Path(__file__).parent / "c").glob("ekz.*")):
        written.append(folder / source.name)
        write_file(written[-1], source.read_bytes())
    return tuple(written)


def _content(source: Source) -> tuple[bytes, str | None]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), None
    path = Path(source)
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise InputError(f"the file can't be read: {error.strerror}", where=path, hint="the path of a file") from error


def write_file(path: Path, content: bytes) -> None:
    """Writes the whole file or none; OutputError where it can't be."""
    part = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            part = Path(file.name)
            file.write(content)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        if part is not None:
            part.unlink(missing_ok=True)
        hint = "the path of a file in a folder that is there"
        raise OutputError(f"'{path}' can't be written: {error.strerror}", where=path.parent, hint=hint) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
