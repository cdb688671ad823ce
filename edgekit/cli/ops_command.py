"""``edgekit ops``: renders what :mod:`edgekit.op_support` lists."""

from __future__ import annotations

import dataclasses
import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def ops(as_json: bool) -> None:
    """List the supported ops: PyTorch's and ONNX's that are read, and the graph's with their form in every runtime."""
    from edgekit.op_support import onnx_operators, supported_ops, torch_ops

    known, sources, onnx = supported_ops(), torch_ops(), onnx_operators()
    if as_json:
        read = {"torch": list(sources), "onnx": list(onnx)}
        document = {"schema": "edgekit.ops/1", "graph": [dataclasses.asdict(op) for op in known], **read}
        click.echo(json.dumps(document, indent=2))
        return
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from edgekit.report.terminal import stdout_console

    console = stdout_console()
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
    console.print(f"\n[bold]{len(sources)} PyTorch ops are read[/bold] [dim](in-place forms of them too)[/dim]")
    names = ", ".join(name.removeprefix("aten.") for name in sources)
    console.print(f"  {names}", soft_wrap=not console.is_terminal)
    console.print(f"\n[bold]{len(onnx)} ONNX operators are read[/bold] [dim](opset 6 to the newest)[/dim]")
    console.print(f"  {', '.join(onnx)}", soft_wrap=not console.is_terminal)
