"""Binary convolutions beside 8-bit ones in the interpreter of Larq Compute Engine, timed in turn in one process.

    python -m benchmarks.binary_lce [--rounds 200] [--quick]

Single layers between signs: without padding, where packed signs come out, and with padding to a whole picture, where the engine
writes floats first. The file for ``tflite-int8`` is the convolution alone; that for ``tflite-lce`` packs its inputs and expands
its outputs as well. Every round calls each file with each kernel once, so that other work on the machine meets all alike;
medians over rounds. Needs an environment with larq-compute-engine (docs/binary-networks.md). ``--quick`` records nothing.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import edgekit as ek
from benchmarks.checks import Check, conclude, into_readme, record, table
from edgekit.compress.binarize.lowering import lower_binary
from edgekit.compress.quantize.post_training import quantize
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.ir import Graph, ops
from edgekit.ir.integer.interpreter import Simulator
from edgekit.ir.signs import SIGNS
from edgekit.passes import DECOMPOSE, EXACT, run_passes
from edgekit.runtime.larq import Larq, LarqKernels, LarqProcess
from edgekit.runtime.larq_environment import find_python

Figures = dict[str, Any]

#: Name -> channels, size of the picture, kernel, padding.
LAYERS = {
    "3x3, 256 channels, 14x14": (256, 14, 3, 0),
    "3x3, 256 channels, 14x14, padded": (256, 14, 3, 1),
    "3x3, 64 channels, 28x28": (64, 28, 3, 0),
    "1x1, 256 channels, 14x14": (256, 14, 1, 0),
}

#: What is timed: the file and the kernels of the engine, and how the table calls it.
ARMS: dict[str, tuple[str, LarqKernels]] = {
    "int8": ("int8", "optimized"),
    "int8, XNNPACK": ("int8", "xnnpack"),
    "binary": ("lce", "optimized"),
    "binary, indirect": ("lce", "indirect"),
    "binary, reference": ("lce", "reference"),
}


def layers_of(channels: int, size: int, kernel: int, padding: int) -> tuple[Graph, Graph]:
    """sign, convolution with the next sign in it; and the convolution alone, which reads +1 and -1."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, padding=padding, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1, bias=False),
    )
    x = torch.randn(4, channels, size, size)
    graph = ek.load(model.eval(), (x[:1],))
    step = ek.Binarize(method="bnn", epochs=0, layers=("2", "5"))
    made = step.apply(graph, ek.Data(train=(x.numpy(), np.zeros((4, channels, *_out(size, kernel, padding)), np.float32))))
    exact, _ = run_passes(made, (*EXACT, *DECOMPOSE))
    quantized, _ = quantize(exact, [[x]])
    lower_binary(quantized, packed=False)
    sign = next(node for node in quantized.nodes if isinstance(node.op, ops.BinarySign))
    quantized.inputs[0].quant = SIGNS
    quantized.set_input(sign, 0, quantized.inputs[0])
    quantized.outputs, quantized.signature = [sign.output.users[0].output], None
    quantized.eliminate_dead()
    alone = quantized.copy()
    convolution = alone.nodes[-1]
    alone.set_input(convolution, 0, alone.inputs[0])
    alone.eliminate_dead()
    return quantized, alone


def _out(size: int, kernel: int, padding: int) -> tuple[int, int]:
    side = size + 2 * padding - kernel + 1
    return side, side


def measured(name: str, rounds: int) -> Figures:
    """Milliseconds by arm, bytes of both files, and whether the engine gives the simulation's integers."""
    graph, alone = layers_of(*LAYERS[name])
    files = {"int8": export(alone), "lce": export(graph, TfliteOptions(larq=True))}
    process = LarqProcess()
    loaded = [process.load(files[file], kernels) for file, kernels in ARMS.values()]
    seconds = process.time(loaded, rounds)
    process.close()
    x = torch.randint(0, 2, graph.inputs[0].type.at(1), dtype=torch.int8) * 2 - 1
    given = x.permute(0, 2, 3, 1).contiguous().numpy()
    wanted = Simulator(graph).run([x])[0].permute(0, 2, 3, 1).numpy()
    equal = [
        bool(np.array_equal(Larq(files["lce"], kernels).invoke([given])[0], wanted)) for kernels in ("optimized", "indirect")
    ]
    return {
        "layer": name,
        "ms": {arm: 1e3 * statistics.median(row) for arm, row in zip(ARMS, seconds, strict=True)},
        "bytes": {file: len(content) for file, content in files.items()},
        "equal_integers": all(equal),
    }


def checks(rows: list[Figures]) -> list[Check]:
    """The best binary kernel against the engine's own int8 kernels, and the integers."""
    out = []
    for row in rows:
        best = min(ms for arm, ms in row["ms"].items() if arm.startswith("binary"))
        if row["layer"].startswith("3x3, 256"):
            out.append(Check(row["layer"], "binary over int8, time", best / row["ms"]["int8"], 1.0, "<="))
        out.append(Check(row["layer"], "integers are the simulation's", float(row["equal_integers"]), 1.0, ">="))
    return out


def main() -> int:
    """Measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if find_python() is None:
        print("no environment with larq-compute-engine: EDGEKIT_LCE_PYTHON names its Python", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    rows = []
    for name in LAYERS:
        rows.append(measured(name, 5 if options.quick else options.rounds))
        print(rows[-1], flush=True)
    if not options.quick:
        machine = {"machine": platform.machine(), "processor": _processor(), "rounds": options.rounds}
        record("binary_lce", {**machine, "figures": rows}, checks(rows))
        into_readme("binary_lce", lines(rows))
    return conclude(checks(rows))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line.partition(": ")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def lines(rows: list[Figures]) -> list[str]:
    """The table of README.md."""
    shown = []
    for row in rows:
        cells = {arm: f"{ms:.2f} ms" for arm, ms in row["ms"].items()}
        sizes = f"{row['bytes']['int8']:,} / {row['bytes']['lce']:,}"
        shown.append({"layer between signs": row["layer"], **cells, "bytes, int8 / binary": sizes})
    return [
        *table(shown),
        "",
        f"larq-compute-engine 0.16, one thread, {platform.machine()} ({_processor()}).",
    ]


if __name__ == "__main__":
    sys.exit(main())
