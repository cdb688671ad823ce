"""Random networks of the operator table, PyTorch against LiteRT and ONNX Runtime, integers against their simulation.

    python -m benchmarks.fuzz --graphs 2000 --seed 0 --record

A disagreement is shrunk and printed as a script; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from importlib import metadata
from typing import Any

import torch

from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.fuzz.checking import Verdict, check
from benchmarks.fuzz.drawing import draw
from benchmarks.fuzz.program import Program
from benchmarks.fuzz.repro import script
from benchmarks.fuzz.shrinking import shrink


def main() -> int:
    """Draw, check, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first network; the next one has the next seed")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/fuzz.json and its line in README.md")
    parser.add_argument("--no-shrink", action="store_true", help="print what disagrees as it was drawn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    rows: Counter[str] = Counter()
    ops: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    outputs: Counter[str] = Counter()
    disagreeing, steps = 0, 0
    for seed in range(options.seed, options.seed + options.graphs):
        program = draw(seed)
        verdict = check(program)
        rows.update({step.row for step in program.steps})
        ops.update(verdict.ops)
        steps += len(program.steps)
        integers = verdict.integers
        outputs.update(compared=integers.compared, in_float=integers.in_float, without_kernels=integers.without_kernels)
        for name in integers.noise:
            outputs["noise"] += 1
            print(f"# seed {seed}: %{name} is rounding noise of float parts, its integers are not compared", flush=True)
        if verdict.refused:
            refused[verdict.refused] += 1
        if verdict.disagreements:
            disagreeing += 1
            tell(seed, program, verdict, shrinking=not options.no_shrink)
    seconds = time.process_time() - started
    result = {
        "graphs": options.graphs,
        "first_seed": options.seed,
        "disagreements": disagreeing,
        "refused_by_the_frontend": dict(refused),
        "steps": steps,
        "rows_of_the_table": len(rows),
        "ops_of_the_graph": len(ops),
        "int8_outputs_compared": outputs["compared"],
        "int8_outputs_not_compared": {
            "rounding noise of float parts": outputs["noise"],
            "float": outputs["in_float"],
            "an operator without reference kernel": outputs["without_kernels"],
        },
        "versions": {name: metadata.version(name) for name in ("torch", "ai-edge-litert", "onnxruntime")},
    }
    print(json.dumps(result, indent=2))
    print(f"{seconds:.0f} s of one core, {seconds / max(options.graphs, 1):.2f} s a network", file=sys.stderr)
    checks = [Check(f"{options.graphs} networks", "that disagree", disagreeing, 0, "<=")]
    if options.record:
        record("fuzz", result, checks)
        into_readme("fuzz", table([_line(result)]))
    return conclude(checks)


def _line(result: dict[str, Any]) -> dict[str, str]:
    """The record as a row of the page."""
    names = {
        "networks": "graphs",
        "steps": "steps",
        "rows of the table": "rows_of_the_table",
        "ops of the graph": "ops_of_the_graph",
        "int8 outputs compared": "int8_outputs_compared",
        "disagreements": "disagreements",
    }
    told = {title: f"{result[key]:,}" for title, key in names.items()}
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in result["int8_outputs_not_compared"].items() if count)
    return {**told, "int8 outputs not compared": left_out or "none"}


def tell(seed: int, program: Program, verdict: Verdict, *, shrinking: bool) -> None:
    """Print a disagreement, shrunk to what still shows one of its kind (the same target)."""
    if shrinking:
        kinds = {text.partition(":")[0] for text in verdict.disagreements}

        def fails(candidate: Program) -> bool:
            return bool(kinds & {text.partition(":")[0] for text in check(candidate).disagreements})

        program = shrink(program, fails)
        verdict = check(program)
    print(
        f"# seed {seed}\n# " + "\n# ".join("\n".join(verdict.disagreements).splitlines()) + f"\n{script(program)}", flush=True
    )


if __name__ == "__main__":
    raise SystemExit(main())
