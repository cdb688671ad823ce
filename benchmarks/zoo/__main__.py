"""Every architecture through PyTorch, the graph and four files: what each computes, and what it is made of.

    python -m benchmarks.zoo [--only NAME]... [--full]

Exports every network of ``benchmarks/zoo`` as float and 8-bit TFLite and ONNX, runs the files and compares: float files
with the source, 8-bit files with the integer simulation. Counts operators, and those that only move or convert. Records
``results/zoo.json`` and the table of README.md. With ``--only`` the other networks' figures stay, if they were taken with the
same versions, weights and samples. ``--full`` takes the published depth and widths instead of the short forms, and records
``results/zoo_full.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks.checks import RESULTS, Check, conclude, into_readme, record, table
from benchmarks.zoo import ARCHITECTURES
from benchmarks.zoo.bars import checks_of
from benchmarks.zoo.exports import EQUAL, TARGETS, Export, Network
from edgekit.errors import EdgekitError

#: What only moves or converts elements.
LEFTOVERS = ("TRANSPOSE", "RESHAPE", "PAD", "QUANTIZE", "DEQUANTIZE")


def main() -> int:
    """Export, measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(ARCHITECTURES), default=[])
    parser.add_argument("--full", action="store_true", help="the published depth and widths")
    options = parser.parse_args()
    torch.set_num_threads(1)
    name, exports, refused = "zoo_full" if options.full else "zoo", list[Export](), list[Check]()
    for network in options.only or ARCHITECTURES:
        try:
            made = _measured(network, options.full)
        except EdgekitError as error:
            refused.append(Check(network, f"refused: {error.what}", 1, 0, "<="))
            continue
        print(_told(made), flush=True)
        exports += made
    state = {n: metadata.version(n) for n in ("torch", "ai-edge-litert", "onnxruntime")} | {"networks": _digest()}
    fresh = {export.network for export in exports} | {check.subject for check in refused}
    every = [export for export in _recorded(name, state) if export.network not in fresh] + exports
    every.sort(key=lambda export: list(ARCHITECTURES).index(export.network))
    checks = [*(check for export in every for check in checks_of(export)), *refused]
    record(name, {"versions": state, "figures": [asdict(export) for export in every]}, checks)
    if not options.full:
        into_readme("zoo", [*_table(every), "", *_EXPLAINED])
    return conclude([*(check for export in exports for check in checks_of(export)), *refused])


def _measured(name: str, full: bool) -> list[Export]:
    network = Network(name, full)
    return [network.measure(target) for target in TARGETS]


def _digest() -> str:
    """Of what makes the networks' weights and samples: figures of others are not mixed with these."""
    files = (Path(__file__).with_name(f"{name}.py") for name in ("weights", "exports"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _recorded(name: str, state: Mapping[str, str]) -> list[Export]:
    """The figures that were recorded in the same state."""
    path = RESULTS / f"{name}.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    return [Export(**row) for row in content["figures"]] if content.get("versions") == state else []


def _told(exports: Sequence[Export]) -> str:
    return " | ".join([exports[0].network, *(f"{export.target}: {_figures(export)}" for export in exports)])


def _figures(export: Export) -> str:
    near = (
        f"{export.relative_error:.0e}"
        if export.relative_error is not None
        else f"{export.sqnr_kernels:.0f} dB"
        + (f" ({export.sqnr_reference:.0f})" if export.sqnr_reference is not None else "")
        + f", source {export.sqnr_source:.0f}"
    )
    left = ", ".join(f"{kind} {export.count(kind)}" for kind in LEFTOVERS if export.count(kind))
    return f"{sum(export.ops.values())} ops, {near}" + (f", {left}" if left else "")


def _table(exports: Sequence[Export]) -> list[str]:
    rows = [exports[at : at + len(TARGETS)] for at in range(0, len(exports), len(TARGETS))]
    return table([_row({export.target: export for export in row}) for row in rows])


def _row(by: dict[str, Export]) -> dict[str, str]:
    single, integer = by["tflite-fp32"], by["tflite-int8"]

    def ops(target: str) -> str:
        return str(sum(by[target].ops.values()))

    def near(figure: Any) -> str:
        return "equal" if figure == EQUAL else f"{figure:.0f}"

    return {
        "network": single.network,
        "TFLite ops": ops("tflite-fp32"),
        "int8": ops("tflite-int8"),
        "ONNX nodes": ops("onnx-fp32"),
        "TRANSPOSE": str(integer.count("TRANSPOSE")),
        "RESHAPE": str(integer.count("RESHAPE")),
        "PAD": str(integer.count("PAD", "PADV2", "MIRROR_PAD")),
        "QUANTIZE": str(integer.count("QUANTIZE")),
        "DEQUANTIZE": str(integer.count("DEQUANTIZE")),
        "float error": f"{max(single.relative_error or 0.0, by['onnx-fp32'].relative_error or 0.0):.0e}",
        "int8 dB": f"{near(integer.sqnr_reference)}, {near(integer.sqnr_kernels)}, {near(by['onnx-int8'].sqnr_kernels)}",
    }


_EXPLAINED = (
    "Operators of the float and the 8-bit TFLite file and nodes of the float ONNX file; then, of the 8-bit TFLite file, those",
    "that only move or convert elements. Float error: the larger of both float files' largest differences from the source,",
    "relative to the largest output. Int8 dB: signal-to-noise ratio against the integer simulation, of TFLite in LiteRT's",
    "reference kernels and in its default ones, and of ONNX in ONNX Runtime; at least 25 in each. The networks are untrained;",
    "their filters are laid on what they see, so that an error grows on its way to the output as in trained ones",
    "(`benchmarks/zoo/weights.py`). Short forms of the networks: real blocks and widths, few of each.",
    "TRANSPOSE in a convolutional network: shuffles of channels (ShuffleNets), outputs in the source's own order (YOLOv8n).",
)

if __name__ == "__main__":
    raise SystemExit(main())
