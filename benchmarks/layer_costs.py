"""What one layer costs in each precision: ARM64 instructions a MAC, by kind of layer, counted in LiteRT under emulation.

    python -m benchmarks.layer_costs

A file with one layer is written for every kind and precision that LiteRT takes, and run on two emulated cores: Cortex-A53,
which has no dot-product instructions, and Cortex-A76, which has. Records ``results/layer_costs.json`` and the table of
README.md; the table in ``edgekit/compress/mixed_precision/costs.py``, from which layers are chosen, holds these figures, and
a test compares.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from torch import nn

from benchmarks.checks import into_readme, record, table
from edgekit.errors import EdgekitError
from edgekit.precision import Precision

CORES = ("cortex-a53", "cortex-a76")
FLOAT = Precision("float32", "float32")
PRECISIONS = (
    FLOAT,
    Precision("int8", "int8"),
    Precision("int4", "int8"),
    Precision("int8", "int16"),
    Precision("int8", "float32"),
    Precision("int4", "float32"),
)


@dataclass(frozen=True)
class Layer:
    """A layer that is measured, with the shape of one sample."""

    kind: str
    title: str
    module: nn.Module
    shape: tuple[int, ...]


def layers() -> tuple[Layer, ...]:
    """One of each kind, of the sizes that small networks have."""
    torch.manual_seed(0)
    return (
        Layer("convolution", "3x3 convolution, 32 to 32 channels, 16x16", nn.Conv2d(32, 32, 3, padding=1), (32, 16, 16)),
        Layer("pointwise", "1x1 convolution, 64 to 64 channels, 16x16", nn.Conv2d(64, 64, 1), (64, 16, 16)),
        Layer("depthwise", "3x3 depthwise, 64 channels, 16x16", nn.Conv2d(64, 64, 3, padding=1, groups=64), (64, 16, 16)),
        Layer("linear", "linear, 512 to 512", nn.Linear(512, 512), (512,)),
        Layer("rows", "linear on 256 rows, 64 to 64", nn.Linear(64, 64), (256, 64)),
        Layer("transposed", "3x3 transposed, 32 to 32 channels, 8x8", nn.ConvTranspose2d(32, 32, 3, stride=2), (32, 8, 8)),
    )


def main() -> int:
    """Count, print, record."""
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgekit-costs-") as folder:
        for row in _rows(Path(folder)):
            print(row, flush=True)
            rows.append(row)
    versions = {name: metadata.version(name) for name in ("torch", "ai-edge-litert")}
    record("layer_costs", {"versions": versions, "figures": rows}, [])
    into_readme("layer_costs", _lines(rows))
    return 0


def _rows(folder: Path) -> Iterator[dict[str, object]]:
    from edgekit.bench.qemu.counting import count

    for layer in layers():
        for precision in PRECISIONS:
            path = folder / "layer.tflite"
            try:
                graph, content = written(layer, precision)
                path.write_bytes(content)
                counts = {core: count(path, core).per_inference for core in CORES}
            except EdgekitError as error:
                print(f"{layer.title}, {precision}: {error.what}", file=sys.stderr)
                continue
            macs = graph.macs
            figures = {core: round(number / macs, 4) for core, number in counts.items()}
            yield {"kind": layer.kind, "layer": layer.title, "precision": str(precision), "macs": macs, "per_mac": figures}


def written(layer: Layer, precision: Precision):  # type: ignore[no-untyped-def]
    """The graph of one layer in a precision and its TFLite file, inputs and outputs in the layer's own type."""
    import edgekit as ek
    from edgekit.compress.quantize.dynamic_range import quantize_weights_only
    from edgekit.compress.quantize.post_training import PostTraining, quantize
    from edgekit.export.tflite.exporter import export
    from edgekit.passes import EXACT, run_passes
    from edgekit.precision import LayerPrecision, PrecisionPlan

    x = torch.randn(8, *layer.shape)
    wrapped = nn.Sequential(layer.module).eval()
    graph, _ = run_passes(ek.load(wrapped, example_inputs=(x[:1],)), EXACT)
    if precision != FLOAT:
        plan = PrecisionPlan(Precision(precision.weights, precision.activations), {"0": LayerPrecision(precision.weights)})
        if precision.activations == "float32":
            graph = quantize_weights_only(graph, plan=plan)
        else:
            graph, _ = quantize(graph, [[x]], options=PostTraining("min_max", bias_correction=False), plan=plan)
    return graph, export(graph)


def _lines(rows: list[dict[str, object]]) -> list[str]:
    """Instructions a MAC on both cores; in brackets relative to int8."""
    shown = []
    for title in dict.fromkeys(str(row["layer"]) for row in rows):
        cells = {"layer": title}
        for precision in PRECISIONS:
            found = next((r for r in rows if r["layer"] == title and r["precision"] == str(precision)), None)
            figures = [] if found is None else [f"{found['per_mac'][core]:.2f}" for core in CORES]  # type: ignore[index]
            cells[f"{precision.weights} x {precision.activations}"] = " / ".join(figures) or "-"
        shown.append(cells)
    return [
        *table(shown),
        "",
        "Instructions a MAC, Cortex-A53 / Cortex-A76; weights x activations. -: LiteRT refuses such a file.",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
