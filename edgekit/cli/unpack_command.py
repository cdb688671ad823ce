"""``edgekit unpack``: the way back from an archive, and the decoder for apps."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.errors import UsageError

#: First bytes after an offset of a file -> the suffix that it gets where no name is given.
_SUFFIXES = ((4, b"TFL3", ".tflite"), (0, b"\x08", ".onnx"))


@click.command()
@click.argument("archive", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="The file; by default beside ARCHIVE.")
@click.option("--width", metavar="W", help="Of an archive of several sizes, this one: 0.5.")
@click.option("--force", is_flag=True, help="Replace a file that is there, where --output names none.")
@click.option("--decoder", type=click.Path(path_type=Path), metavar="FOLDER", help="Write ekz.c and ekz.h, C99, into a folder.")
def unpack(archive: Path | None, output: Path | None, width: str | None, force: bool, decoder: Path | None) -> None:
    """Restore the model of an .ekz archive, byte for byte."""
    from edgekit.packing.files import unpack as unpacked_from
    from edgekit.packing.files import write_decoder, write_file

    if archive is None and decoder is None:
        raise UsageError("there is nothing to unpack", where="edgekit unpack", hint="edgekit unpack model.ekz")
    if decoder is not None:
        for path in write_decoder(decoder):
            click.echo(str(path))
    if archive is None:
        return
    data = unpacked_from(archive, width=width)
    target = output or archive.with_suffix(_suffix(data))
    if output is None and target.exists() and not force:
        raise UsageError(f"'{target}' is there already", where="edgekit unpack", hint="-o another.tflite, or --force")
    write_file(target, data)
    click.echo(f"{target}  {len(data):,} bytes")


def _suffix(data: bytes) -> str:
    return next((suffix for at, mark, suffix in _SUFFIXES if data[at : at + len(mark)] == mark), ".bin")
