"""``edgekit inspect``: renders what :mod:`edgekit.inspection` finds."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.config import project_folder
from edgekit.errors import OutputError

if TYPE_CHECKING:
    from rich.table import Table

    from edgekit.formats.description import Description, OpInfo, TensorInfo


@click.command()
@click.argument("model")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Trained weights for package.module:callable.")
@click.option(
    "--input-shape",
    "input_shapes",
    multiple=True,
    metavar="[NAME=]1,3,32,32[:int64]",
    help="Shape of an example input, batch first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Write a drawing of the ops to this file.")
def inspect(model: str, weights: Path | None, input_shapes: tuple[str, ...], as_json: bool, svg: Path | None) -> None:
    """Show the ops of a model with shapes, MACs, parameters, bytes and peak memory."""
    from edgekit.inspection import look_into

    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # what the user's code prints is no JSON
        found = look_into(model, weights=weights, input_shapes=input_shapes, root=project_folder(Path.cwd()))
    if svg is not None:
        try:
            svg.write_text(found.svg(), encoding="utf-8")
        except OSError as error:
            hint = "the path of a file in a folder that is there and may be written"
            raise OutputError(f"'{svg}' can't be written: {error.strerror}", where="--svg", hint=hint) from error
    if as_json:
        click.echo(json.dumps(found.description.as_dict(), indent=2))
        return
    _print(found.description)


def _print(description: Description) -> None:
    from rich.markup import escape

    from edgekit.report.numbers import bytes_text, count_text
    from edgekit.report.terminal import stdout_console

    console = stdout_console()
    console.print(f"[bold]{escape(description.name)}[/bold]  [dim]{_what(description)}[/dim]")
    for label, tensors in (("in ", description.inputs), ("out", description.outputs)):
        for tensor in tensors:
            console.print(f"  {label}  {escape(_tensor(tensor))}", soft_wrap=True)
    console.print()
    console.print(_table(description.ops))
    console.print()
    kinds = ", ".join(f"{count} {kind}" for kind, count in description.operators.items())
    console.print(f"  {len(description.ops)} ops  [dim]{escape(kinds)}[/dim]", soft_wrap=True)
    macs = "an unknown number of" if description.macs is None else count_text(description.macs)
    totals = [f"{macs} MACs", f"{count_text(description.parameters)} parameters"]
    totals += [f"{bytes_text(description.weight_bytes)} of weights"]
    if description.peak_memory_bytes is not None:
        totals += [f"{bytes_text(description.peak_memory_bytes)} of activations at the peak"]
    console.print(f"  {', '.join(totals)}", soft_wrap=True)
    if (sizes := description.sizes) is not None:
        parts = {"weights": sizes.weights, "quantisation": sizes.quantization, "structure": sizes.structure}
        listed = ", ".join(f"{bytes_text(size)} {name}" for name, size in (parts | {"metadata": sizes.metadata}).items())
        console.print(f"  {description.file_bytes:,} bytes in the file: {listed}", soft_wrap=True)
    if (said := description.metadata.get("memory")) is not None:
        console.print(f"  [yellow]warning:[/yellow] {escape(said)}", soft_wrap=True)


def _what(description: Description) -> str:
    return {"graph": "graph", "tflite": "TensorFlow Lite", "onnx": "ONNX"}[description.format]


def _tensor(tensor: TensorInfo) -> str:
    from edgekit.report.numbers import shape_text

    text = f"{tensor.name}  {tensor.dtype} {shape_text(tensor.shape)}"
    if tensor.scale is not None:
        text += (
            f"  scale {tensor.scale:.6g}, zero point {tensor.zero_point}" if tensor.scales == 1 else f"  {tensor.scales} scales"
        )
    return text


def _table(ops: tuple[OpInfo, ...]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from edgekit.report.numbers import bytes_text, count_text, shape_text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("  op", no_wrap=True)
    table.add_column("output", no_wrap=True)
    table.add_column("type", no_wrap=True)
    for name in ("MACs", "parameters", "weights"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("name", no_wrap=True, overflow="ellipsis", style="dim")
    for op in ops:
        table.add_row(
            f"  {escape(' '.join(filter(None, (op.kind, op.attributes))))}",
            ", ".join(dict.fromkeys(shape_text(shape) for shape in op.shapes)),
            op.dtype,
            count_text(op.macs) if op.macs else "",
            count_text(op.parameters) if op.parameters else "",
            bytes_text(op.weight_bytes) if op.weight_bytes else "",
            escape(_last(op.name)),
        )
    return table


def _last(name: str) -> str:
    """TensorFlow joins the names of all ops that were fused into one; the last says what it was."""
    return name.rsplit(";", 1)[-1]
