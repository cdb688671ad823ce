"""Instructions of Larq Compute Engine's kernels on emulated 64-bit ARM, beside those of LiteRT's int8 convolution.

    python -m benchmarks.lce_arm64 --source FOLDER [--compiler aarch64-linux-gnu-g++]

The engine's package for Python has no build for 64-bit ARM, where its kernels are assembly: so they are compiled from FOLDER, a
checkout of larq/compute-engine, and called alone, with signs packed already and 8-bit results, which are compared with plain
loops. LiteRT's figure is of the same layer in a file with this operator alone, on the cores without and with dot products.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.binary_lce import LAYERS, layers_of
from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.counted_c import steady_count
from edgekit.bench.qemu import count_instructions
from edgekit.export.tflite.exporter import export

CPUS = ("cortex-a53", "cortex-a76")
NAMES = ("3x3, 256 channels, 14x14", "1x1, 256 channels, 14x14")

#: Headers of TensorFlow Lite, ruy and FlatBuffers of which lce_kernel.cc has all that the kernels need.
_EMPTY = (
    *("tensorflow/lite/kernels/internal/types.h", "tensorflow/lite/kernels/internal/common.h"),
    *("tensorflow/lite/kernels/internal/cppmath.h", "tensorflow/lite/kernels/op_macros.h"),
    *("tensorflow/lite/c/builtin_op_data.h", "ruy/profiler/instrumentation.h", "flatbuffers/base.h"),
)


def main() -> int:
    """Compile, count, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--compiler", default="aarch64-linux-gnu-g++", help="with its options, if any")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, checks = [], []
    with tempfile.TemporaryDirectory(prefix="edgekit-lce-") as place:
        program = _compiled(Path(place), options.source.resolve(), options.compiler.split())
        for name in NAMES:
            channels, size, kernel, _ = LAYERS[name]
            shape = [str(channels), str(size), str(kernel)]
            counts = {kind: steady_count([str(program), *shape, kind], Path(place), CPUS[0]) for kind in ("arm64", "portable")}
            file = Path(place) / "int8.tflite"
            file.write_bytes(export(layers_of(*LAYERS[name])[1]))
            counts |= {f"int8, {cpu}": count_instructions(file, cpu) for cpu in CPUS}
            print(name, counts, flush=True)
            rows.append({"layer": name, **counts})
            checks += [_check(f"{name}, {cpu}", counts["arm64"] / counts[f"int8, {cpu}"]) for cpu in CPUS]
    record("lce_arm64", {"figures": rows}, checks)
    into_readme("lce_arm64", _lines(rows))
    return conclude(checks)


def _check(subject: str, ratio: float) -> Check:
    return Check(subject, "binary over int8, instructions", ratio, 1.0, "<=")


def _compiled(folder: Path, source: Path, compiler: list[str]) -> Path:
    """The program; exits where there is no compiler."""
    if shutil.which(compiler[0]) is None:
        sys.exit(f"no compiler {compiler[0]}: apt install g++-aarch64-linux-gnu")
    for name in _EMPTY:
        header = folder / "empty" / name
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text("#pragma once\n")
    program = folder / "lce_kernel"
    flags = ["-std=c++17", "-O3", "-static", "-I", str(source), "-I", str(folder / "empty")]
    subprocess.run([*compiler, *flags, str(Path(__file__).with_name("lce_kernel.cc")), "-o", str(program)], check=True)
    return program


def _lines(rows: list[dict[str, object]]) -> list[str]:
    """The table of README.md."""
    titles = {
        "arm64": "binary, ARM64 kernel",
        "portable": "binary, portable C++",
        **{f"int8, {c}": f"int8, XNNPACK, {c}" for c in CPUS},
    }
    shown = []
    for row in rows:
        cells = {title: f"{row[key]:,}" for key, title in titles.items()}
        shown.append({"layer": str(row["layer"]), **cells})
    return [
        *table(shown),
        "",
        "Instructions of one call. The binary kernels use no dot products: their count is the same on every core.",
    ]


if __name__ == "__main__":
    sys.exit(main())
