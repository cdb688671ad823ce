"""``edgekit unpack``: the way back from an archive."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.errors import UsageError

#: First bytes after an offset of a file -> the suffix that it gets where no name is given.
_SUFFIXES = ((4, b"TFL3", ".tflite"), (0, b"\x08", ".onnx"))


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="The file; by default beside ARCHIVE.")
@click.option("--force", is_flag=True, help="Replace a file that is there, where --output names none.")
def unpack(archive: Path, output: Path | None, force: bool) -> None:
    """Restore the model of an .ekz archive, byte for byte."""
    from edgekit.packing import unpack as unpacked_from
    from edgekit.packing.files import write_file

    data = unpacked_from(archive)
    target = output or archive.with_suffix(_suffix(data))
    if output is None and target.exists() and not force:
        raise UsageError(f"'{target}' is there already", where="edgekit unpack", hint="-o another.tflite, or --force")
    write_file(target, data)
    click.echo(f"{target}  {len(data):,} bytes")


def _suffix(data: bytes) -> str:
    return next((suffix for at, mark, suffix in _SUFFIXES if data[at : at + len(mark)] == mark), ".bin")
