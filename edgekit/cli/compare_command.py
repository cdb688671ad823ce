"""``edgekit compare``: renders what :mod:`edgekit.comparison` finds."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.config import project_folder

if TYPE_CHECKING:
    from edgekit.comparison import Comparison
    from edgekit.runtime.litert import Kernels

#: LiteRT's kernels, as ``edgekit.runtime.litert.Kernels`` names them (a test compares); not imported for ``--help``.
KERNELS = ("default", "reference", "builtin")


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--data", metavar="DATA", help="Inputs: an .npz or package.module:callable. [default: random]")
@click.option("--samples", type=click.IntRange(min=1), metavar="N", help="At most so many. [default: all of the data, or 64]")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Trained weights for package.module:callable.")
@click.option(
    "--input-shape",
    "input_shapes",
    multiple=True,
    metavar="[NAME=]1,3,32,32[:int64]",
    help="Shape of an input of package.module:callable, batch first, or of a file that leaves it open.",
)
@click.option(
    "--kernels", type=click.Choice(KERNELS), default="default", show_default=True, help="LiteRT's, for .tflite files."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare(
    a: str,
    b: str,
    data: str | None,
    samples: int | None,
    weights: Path | None,
    input_shapes: tuple[str, ...],
    kernels: Kernels,
    as_json: bool,
) -> None:
    """Run the same inputs through two forms of a model and show how far apart they are."""
    from edgekit import comparison

    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # what the user's code prints is no JSON
        found = comparison.compare(
            a,
            b,
            data,
            samples=samples,
            weights=weights,
            input_shapes=list(input_shapes) or None,
            kernels=kernels,
            root=project_folder(Path.cwd()),
        )
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _print(found)


def _print(found: Comparison) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from edgekit.report.numbers import db_text, error_text, percent_text, shape_text
    from edgekit.report.terminal import stdout_console

    console = stdout_console()
    console.print(f"[bold]{escape(found.b)}[/bold] against [bold]{escape(found.a)}[/bold]", soft_wrap=True)
    console.print(f"  [dim]{found.samples} samples, {escape(found.data)}[/dim]\n", soft_wrap=True)

    def table(*headings: str, left: int) -> Table:
        out = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for index, heading in enumerate(headings):
            out.add_column(heading, justify="left" if index < left else "right", no_wrap=True)
        return out

    outputs = table("  output", "shape", "SQNR", "largest error", "same top-1", left=2)
    for row in found.outputs:
        shape = shape_text(("N", *row.shape))
        figures = (db_text(row.sqnr_db), error_text(row.max_abs_error), percent_text(row.top1_agreement))
        outputs.add_row(f"  {escape(row.name)}", shape, *figures)
    console.print(outputs)
    if found.layers:
        layers = table("  layer", "op", "where", "SQNR", "largest error", left=3)
        for layer in found.layers:
            place = escape(layer.where.partition(" (")[2].removesuffix(")") or layer.where)
            cells = (db_text(layer.sqnr_db), error_text(layer.max_abs_error))
            layers.add_row(f"  {escape(layer.name)}", layer.op, f"[dim]{place}[/dim]", *cells)
        console.print()
        console.print(layers)
    if found.identical:
        console.print("\n  [green]the outputs are identical[/green]")
