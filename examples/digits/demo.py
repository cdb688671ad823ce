"""The main job on real input: train a digit network, build it for every target that can be verified here, show the results."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edgekit.target import Target, target_names

FOLDER = Path(__file__).parent
OUTPUT = FOLDER / "edgekit-out"

#: The package that runs artifacts, by a target's runtime.
PACKAGES = {"litert": "ai_edge_litert", "onnxruntime": "onnxruntime", "tflite-micro": "tflite_micro"}


def verifiable_targets() -> list[str]:
    """Targets whose runtime is installed here, without those for binary networks."""
    targets = [target for target in map(Target.load, target_names()) if not target.name.endswith(("-binary", "-lce"))]
    return [target.name for target in targets if importlib.util.find_spec(PACKAGES[target.runtime])]


def row(report: dict[str, Any]) -> str:
    """One line of the table, from a report.json."""
    artifact, worst = report["artifact"], min(report["verification"], key=lambda check: check["sqnr_db"])
    accuracy = {entry["metric"]: entry["artifact"] for entry in report["evaluation"]}["top1"]
    memory = artifact["arena_bytes"] or artifact["peak_memory_bytes"]
    operators = sum(artifact["operators"].values())
    return (
        f"{report['target']:<16}{accuracy:>9.2%}{artifact['bytes']:>10,}{operators:>6}"
        f"{report['graph']['macs']:>11,}{memory or 0:>10,}{worst['sqnr_db']:>10.1f}"
    )


def main() -> int:
    """Run the demo; the exit code is that of `edgekit build`."""
    from examples.digits.train import train

    begin = time.perf_counter()
    accuracy = train()
    print(f"trained in {time.perf_counter() - begin:.1f} s; accuracy on held-out digits: {accuracy:.2%}\n")
    arguments = [argument for name in verifiable_targets() for argument in ("--target", name)]
    command = ["-m", "edgekit", "build", *arguments]
    print("$ edgekit build", *arguments, flush=True)
    code = subprocess.run([sys.executable, *command], cwd=FOLDER).returncode
    print(f"\n{'target':<16}{'accuracy':>9}{'bytes':>10}{'ops':>6}{'MACs':>11}{'memory':>10}{'SQNR dB':>10}")
    for name in verifiable_targets():
        path = OUTPUT / name / "report.json"
        if path.is_file():
            print(row(json.loads(path.read_text())))
    print(f"\nartifacts and reports: {OUTPUT}")
    return code


if __name__ == "__main__":
    sys.exit(main())
