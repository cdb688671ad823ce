"""``edgekit pack``: what :func:`edgekit.packing.pack` makes, beside what general compressors make of the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgekit.packing.archive import Packed


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="The archive; else MODEL with .ekz.")
@click.option("--fast", is_flag=True, help="Huffman codes alone for weights: larger, and unpacked in no time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def pack(model: Path, output: Path | None, fast: bool, as_json: bool) -> None:
    """Pack a model for delivery: as small as it gets, and byte for byte itself again on the device."""
    from edgekit.packing import pack as packed_from
    from edgekit.packing.others import others

    target = output or model.with_suffix(".ekz")
    packed = packed_from(model, target, fast=fast)
    before = model.read_bytes()
    compared = others(before)
    if as_json:
        sizes = {"file_bytes": len(before), "archive_bytes": len(packed.data)}
        document = {"schema": "edgekit.pack/1", "archive": str(target), **sizes, "parts": packed.parts, "others": compared}
        click.echo(json.dumps(document, indent=2))
        return
    _print(target, len(before), packed, compared)


def _print(target: Path, before: int, packed: Packed, compared: dict[str, int | None]) -> None:
    total = len(packed.data)
    click.echo(f"{target}  {total:,} bytes of {before:,}: {before / total:.1f} times smaller\n")
    for name, size in sorted(packed.parts.items(), key=lambda part: -part[1]):
        click.echo(f"  {name:<12}{size:>12,}  {100 * size / total:>5.1f} %")
    click.echo("\nthe same file")
    for name, other in {"edgekit": total, **compared}.items():
        shown = "    not here" if other is None else f"{other:>12,}  {before / other:>5.1f} times smaller"
        click.echo(f"  {name:<12}{shown}")
