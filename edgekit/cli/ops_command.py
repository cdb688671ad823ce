"""``edgekit ops``: renders what :mod:`edgekit.operator_table` and :mod:`edgekit.op_support` list."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from edgekit.op_support import OpSupport
    from edgekit.operator_table import OperatorRow


@click.command()
@click.argument("word", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def ops(word: str, as_json: bool) -> None:
    """List the supported operators as they are written in PyTorch, with their form in every runtime.

    With WORD only those that have it in their name or family: edgekit ops pool. Without, the names that each source may have
    and the ops of the graph are listed too.
    """
    from edgekit.operator_table import operator_table

    rows = [row for row in operator_table() if row.matches(word)]
    if as_json:
        click.echo(json.dumps(_document(rows), indent=2))
        return
    from edgekit.report.terminal import stdout_console

    console = stdout_console()
    _show_operators(console, rows, word)
    if word:
        return
    if find_spec("torch") is None:
        console.print("[dim]with edgekit\\[build] installed, the ops of the graph and of the sources follow here[/dim]")
        return
    _show_sources(console)


def _document(rows: Sequence[OperatorRow]) -> dict[str, object]:
    """Operators always; ops of the graph and of sources where torch is installed."""
    document: dict[str, object] = {"schema": "edgekit.ops/1", "operators": [dataclasses.asdict(row) for row in rows]}
    if find_spec("torch") is None:
        return document
    from edgekit.op_support import onnx_operators, supported_ops, torch_ops

    graph = [dataclasses.asdict(op) for op in supported_ops()]
    return document | {"graph": graph, "torch": list(torch_ops()), "onnx": list(onnx_operators())}


def _show_operators(console: Console, rows: Sequence[OperatorRow], word: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from edgekit.operator_table import TARGETS

    if not rows:
        console.print(f"no operator has '{escape(word)}' in its name: edgekit ops lists all of them")
        return
    console.print(f"[bold]{len(rows)} forms of PyTorch's operators[/bold]")
    console.print("  [dim]✓ supported (int8: in integers), ~ partly in integers, float: in float inside the int8 file,[/dim]")
    console.print("  [dim]– refused; the dB are what int8 files keep of PyTorch's numbers[/dim]\n")
    for family in dict.fromkeys(row.family for row in rows):
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column(f"  {family}", no_wrap=True, overflow="ellipsis", min_width=40)
        for name in ("TFLite", "ONNX", "TFLite int8", "ONNX int8"):
            table.add_column(name, no_wrap=True)
        table.add_column("notes", overflow="ellipsis" if not word else "fold", no_wrap=not word, style="dim")
        for row in (row for row in rows if row.family == family):
            table.add_row(f"  {escape(row.name)}", *[_cell(row, target) for target in TARGETS], escape("; ".join(row.notes)))
        console.print(table)
        console.print()


def _cell(row: OperatorRow, target: str) -> str:
    found = row.decibels.get(target)
    return row.sign(target) if found is None else f"{row.sign(target)} {found} dB"


def _show_sources(console: Console) -> None:
    from edgekit.op_support import onnx_operators, supported_ops, torch_ops

    known, sources, onnx = supported_ops(), torch_ops(), onnx_operators()
    _show_graph(console, known)
    console.print(f"\n[bold]{len(sources)} PyTorch ops are read[/bold] [dim](in-place forms of them too)[/dim]")
    names = ", ".join(name.removeprefix("aten.") for name in sources)
    console.print(f"  {names}", soft_wrap=not console.is_terminal)
    console.print(f"\n[bold]{len(onnx)} ONNX operators are read[/bold] [dim](opset 6 to the newest)[/dim]")
    console.print(f"  {', '.join(onnx)}", soft_wrap=not console.is_terminal)


def _show_graph(console: Console, known: Sequence[OpSupport]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    console.print(f"[bold]{len(known)} ops of the graph[/bold]")
    console.print("  [dim]TFLite, ONNX: ✓ an operator of the format, ~ written as others, – not at all[/dim]")
    console.print("  [dim]int8: ✓ in integers, ~ if its input is, float: in float between conversions[/dim]\n")
    form = {"operator": "✓", "rewritten": "~", "none": "–"}
    precision = {"integer": "✓", "follows": "~", "float": "float"}
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("  op", "TFLite", "ONNX", "int8 LiteRT", "int8 ONNX"):
        table.add_column(name, no_wrap=True)
    table.add_column("meaning", overflow="ellipsis", no_wrap=True, style="dim")
    for op in known:
        int8 = (precision[op.int8["litert"]], precision[op.int8["onnxruntime"]])
        table.add_row(f"  {op.name}", form[op.tflite], form[op.onnx], *int8, escape(op.meaning))
    console.print(table)
