"""What the artifacts are worth: size, operators, accuracy, cost, beside other converters' files of the same networks.

    python -m benchmarks.artifacts [--quick] [--only NAME]...

Builds MLPerf Tiny's four networks, ResNet-20 (three calibration draws), MobileNetV2 and a vision transformer, measures the
files in LiteRT, ONNX Runtime, TensorFlow Lite Micro and under emulation, and holds every figure against its bar (``bars.py``).
Records ``results/artifacts.json`` and the table of README.md; with ``--only``, the rows of these networks. ``--quick`` takes
the four small networks, and ResNet-20 with one draw and fewer images, and records nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks import networks
from benchmarks.bars import BARS
from benchmarks.checks import RESULTS, Check, conclude, into_readme, record, table
from benchmarks.figures import measure_int8, measure_micro, measure_resnet20_floats, merged
from benchmarks.networks import Network

#: Draws of ResNet-20's calibration images, and test images.
_DRAWS, _IMAGES = 3, 5000

Figures = dict[str, Any]


def main() -> int:
    """Build, measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=list(BARS), default=[])
    options = parser.parse_args()
    if not networks.available():
        print(f"the data ({networks.DATA}) or the reference networks beside it are not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    every = [*networks.MLPERF_TINY, networks.RESNET20, networks.MOBILENET_V2, networks.VIT]
    chosen = [n for n in every if n.name in options.only] or (every[:-2] if options.quick else every)
    rows: list[Figures] = []
    checks: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="edgekit-artifacts-") as name:
        for network in chosen:
            made, found = _of_network(network, Path(name), options.quick)
            rows += made
            checks += found
            for row in made:
                print({key: value for key, value in row.items() if value is not None}, flush=True)
    if not options.quick:
        versions = {n: metadata.version(n) for n in ("torch", "ai-edge-litert", "onnxruntime", "tflite-micro")}
        known_rows, known_checks = _recorded(versions) if options.only else ([], [])
        titles = [network.title for network in every]
        fresh = {network.title for network in chosen}
        all_rows = rows + [row for row in known_rows if row["network"] not in fresh]
        all_rows.sort(key=lambda row: titles.index(row["network"]))
        others = [check for check in known_checks if not any(check.subject.startswith(f"{title} ") for title in fresh)]
        record("artifacts", {"versions": versions, "figures": all_rows}, [*others, *checks])
        into_readme("artifacts", _lines(all_rows))
    return conclude(checks)


def _recorded(versions: dict[str, str]) -> tuple[list[Figures], list[Check]]:
    """What stands in ``results/artifacts.json``; nothing where it was measured with other versions."""
    path = RESULTS / "artifacts.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    if content.get("versions") != versions:
        return [], []
    checks = [Check(**{key: value for key, value in row.items() if key != "passed"}) for row in content["checks"]]
    return content["figures"], checks


def _of_network(network: Network, folder: Path, quick: bool) -> tuple[list[Figures], list[Check]]:
    """All rows and checks of one network."""
    rows, checks = [], []
    if network.name == "resnet20":
        images = 1000 if quick else _IMAGES
        draws = [
            measure_int8(network, folder / f"draw-{draw}", draw=draw, images=images, cost=draw == 0)
            for draw in range(1 if quick else _DRAWS)
        ]
        rows.append(merged(draws))
        floats, found = measure_resnet20_floats(network, folder, images)
        rows += floats
        checks += found
    else:
        rows.append(measure_int8(network, folder, cost=True))
    checks += _checks(network, rows[0])
    if network.peer is not None:
        micro = measure_micro(network, folder)
        rows.append(micro)
        limit = BARS[network.name].micro_size
        if limit is not None:
            checks.append(Check(f"{network.title} tflm-int8", "bytes", micro["bytes"], limit, "<="))
    return rows, checks


def _checks(network: Network, row: Figures) -> list[Check]:
    """The figures of a ``tflite-int8`` file against the network's bars."""
    from benchmarks import bars as b

    bars, subject = BARS[network.name], f"{network.title} tflite-int8"
    wanted: list[tuple[str, float | None, float | None, str]] = [
        ("bytes", row["bytes"], bars.size, "<="),
        ("operators", row["ops"], bars.ops, "<="),
        ("PAD", row["kinds"].get("PAD", 0), bars.pads, "<="),
        ("SQNR of logits, dB", row["sqnr_db"], bars.sqnr, ">="),
        ("agreement", row["agreement"], bars.agreement, ">="),
        ("latency / TensorFlow's file", row.get("latency_ratio"), b.LATENCY, "<="),
    ]
    if network.name != "vit":
        wanted += [(kind, row["kinds"].get(kind, 0), 0, "<=") for kind in b.LEFTOVERS]
        wanted.append(("equal integers, simulation", row["equal_integers"], b.EQUAL_INTEGERS, ">="))
        wanted.append(("steps apart, simulation", row["steps_apart"], b.STEPS_APART, "<="))
    for core, count in row["instructions"].items():
        best = row["peer_instructions"].get(core)
        best = bars.instructions.get(core) if best is None else best - bars.below_peer
        limit = None if best is None else best * b.INSTRUCTIONS
        wanted.append((f"instructions, {core}", count, limit, "<="))
        if network.name == "vit":
            wanted.append((f"instructions, {core}, below its float32 file's", count, row["float_instructions"][core], "<="))
    if "top1_change" in row:
        wanted.append(("|change of top-1|, points", abs(row["top1_change"]), 0.3, "<="))
    return [
        Check(subject, figure, float(value), float(bar), sense)  # type: ignore[arg-type]
        for figure, value, bar, sense in wanted
        if value is not None and bar is not None
    ]


def _lines(rows: Sequence[Figures]) -> list[str]:
    """The tables of README.md."""
    return [*table([_shown(row) for row in rows]), "", *_EXPLAINED]


_EXPLAINED = (
    "SQNR and agreement: of the logits on samples that were not calibrated with, against the source in float; of ResNet-20's",
    "int8 file the mean over three calibration draws. Instructions: ARM64, one call, emulated; in brackets relative to",
    "TensorFlow's int8 file of the same network, counted in the same run. Latency: median relative to that file's, called in",
    "turn in one process. Arena: planned activations of TensorFlow Lite Micro, in brackets those of TensorFlow's file.",
)


def _shown(row: Figures) -> dict[str, str]:
    def beside(core: str) -> str:
        own = row.get("instructions", {}).get(core)
        peer = row.get("peer_instructions", {}).get(core)
        return "" if own is None else f"{own:,}" + (f" ({own / peer:.4f})" if peer else "")

    def number(key: str, form: str) -> str:
        return "" if row.get(key) is None else format(row[key], form)

    head = number("arena_head", ",")
    return {
        "network": row["network"],
        "target": row["target"],
        "bytes": number("bytes", ","),
        "ops": number("ops", ""),
        "SQNR dB": number("sqnr_db", ".1f"),
        "agreement": number("agreement", ".2%"),
        "A53": beside("cortex-a53"),
        "A76": beside("cortex-a76"),
        "latency": number("latency_ratio", ".3f"),
        "arena": head + (f" ({row['peer_arena_head']:,})" if row.get("peer_arena_head") else ""),
    }


if __name__ == "__main__":
    sys.exit(main())
