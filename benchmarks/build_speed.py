"""What a cold ``edgekit build`` costs, in units of ``python -c "import torch"`` on the same machine.

    python -m benchmarks.build_speed [--rounds 7] [--quick]

Runs the commands in turn, each in a process of its own, and takes the median over rounds of the ratio within a round, so that
a machine with other work disturbs both sides alike. CPU time is recorded beside wall time: other work moves it less. Bars in
seconds are for a machine that does nothing else: the fastest round counts. Peak memory is the kernel's figure for the child.
``--quick`` leaves MobileNetV2 out, runs three rounds and records nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.checks import Check, conclude, into_readme, record, table

#: The project that is built: callables that make the networks, and calibration data beside them.
_NETS = """
import sys
from benchmarks import networks
sys.path.insert(0, str(networks.REFERENCE))

def resnet8():
    return networks.MLPERF_TINY[0].module(), (networks.MLPERF_TINY[0].example(),)

def mobilenet_v2():  # its weights come with --weights
    import zoo
    return zoo.MobileNetV2().eval(), (networks.MOBILENET_V2.example(),)
"""
_DATA = """
import numpy as np, torch
from benchmarks import networks
np.savez("resnet8.npz", x=networks.MLPERF_TINY[0].samples(64, 1))
np.savez("mobilenet_v2.npz", x=networks.MOBILENET_V2.samples(16, 1))
torch.save(networks.MOBILENET_V2.module().state_dict(), "mobilenet_v2.pt")
"""


@dataclass(frozen=True)
class Cost:
    """One process: seconds of wall and CPU time, and megabytes of peak memory."""

    wall: float
    cpu: float
    megabytes: float


@dataclass(frozen=True)
class Result:
    """One command over all rounds: medians, and medians of its ratio to ``import torch`` in the same round."""

    command: str
    fastest_s: float
    wall_s: float
    cpu_s: float
    peak_mb: float
    wall_ratio: float
    cpu_ratio: float


def run(command: Sequence[str], folder: Path) -> Cost:
    """One process from start to end.

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=folder, env=_environment(), stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read().decode(errors='replace')}")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Cost(wall, usage.ru_utime + usage.ru_stime, kilobytes / 1000)


def _environment() -> dict[str, str]:
    """This repository is importable from any folder."""
    paths = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def compare(commands: dict[str, list[str]], base: list[str], folder: Path, rounds: int) -> list[Result]:
    """Every command in turn with the base, so many rounds; the worst peak of memory."""
    costs: dict[str, list[tuple[Cost, Cost]]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            pair = run(base, folder), run(command, folder)
            costs[name].append(pair)
            print(f"  {number + 1}/{rounds} {name}: {pair[1].wall:.2f} s, {pair[1].wall / pair[0].wall:.2f} times", flush=True)
    return [_result(name, pairs) for name, pairs in costs.items()]


def _result(name: str, pairs: list[tuple[Cost, Cost]]) -> Result:
    median = statistics.median
    return Result(
        name,
        min(own.wall for _, own in pairs),
        median(own.wall for _, own in pairs),
        median(own.cpu for _, own in pairs),
        max(own.megabytes for _, own in pairs),
        median(own.wall / base.wall for base, own in pairs),
        median(own.cpu / base.cpu for base, own in pairs),
    )


def imports_torch(command: list[str], folder: Path) -> bool:
    """Whether this Python command imports torch."""
    done = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return any(line.rpartition("|")[2].strip() == "torch" for line in done.stderr.splitlines())


def build_command(model: str, output: str, *more: str) -> list[str]:
    """``edgekit build`` of one of the networks above to tflite-int8."""
    options = ["--calibration", f"{model}.npz", "--target", "tflite-int8", "--output", output]
    return [sys.executable, "-m", "edgekit", "build", f"nets:{model}", *options, *more]


def main() -> int:
    """Measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds = 3 if options.quick else options.rounds
    base = [sys.executable, "-c", "import torch"]
    folder = Path(tempfile.mkdtemp(prefix="edgekit-build-speed-"))
    try:
        (folder / "nets.py").write_text(_NETS)
        run([sys.executable, "-c", _DATA], folder)
        no_op = build_command("resnet8", "up-to-date")
        run(no_op, folder)
        commands = {
            "edgekit --help": [sys.executable, "-m", "edgekit", "--help"],
            "no-op build": no_op,
            "import of the .tflite writer": [sys.executable, "-c", "import edgekit.formats.tflite.write"],
            "ResNet-8, 64 samples": build_command("resnet8", "cold", "--force"),
        }
        if not options.quick:
            commands["MobileNetV2-224, 16 samples"] = build_command(
                "mobilenet_v2", "large", "--weights", "mobilenet_v2.pt", "--force"
            )
        results = compare(commands, base, folder, rounds)
        torch_in_no_op = imports_torch(no_op, folder)
    finally:
        shutil.rmtree(folder)
    by_name = {result.command: result for result in results}
    cold, none, helped = by_name["ResNet-8, 64 samples"], by_name["no-op build"], by_name["edgekit --help"]
    writer = by_name["import of the .tflite writer"]
    checks = [
        Check("ResNet-8, 64 samples", "wall time / import torch", cold.wall_ratio, 3.5, "<="),
        Check("ResNet-8, 64 samples", "peak memory, MB", cold.peak_mb, 450, "<="),
        Check("no-op build", "wall time of the fastest, s", none.fastest_s, 0.4, "<="),
        Check("no-op build", "imports torch", float(torch_in_no_op), 0, "<="),
        Check("edgekit --help", "wall time of the fastest, s", helped.fastest_s, 0.3, "<="),
        Check(writer.command, "CPU time / import torch", writer.cpu_ratio, 0.2, "<="),
    ]
    if not options.quick:
        large = by_name["MobileNetV2-224, 16 samples"]
        checks.append(Check(large.command, "wall time / import torch", large.wall_ratio, 12, "<="))
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load": round(os.getloadavg()[0], 1)}
        versions = {name: metadata.version(name) for name in ("torch", "numpy", "ai-edge-litert")}
        content = {"machine": machine, "versions": versions, "rounds": rounds, "results": [asdict(r) for r in results]}
        record("build_speed", content, checks)
        into_readme("build-speed", [*_lines(results, machine["load"], rounds)])
    return conclude(checks)


def _lines(results: Sequence[Result], load: object, rounds: int) -> list[str]:
    rows = [
        {
            "command": r.command,
            "wall / `import torch`": f"{r.wall_ratio:.2f}",
            "CPU / `import torch`": f"{r.cpu_ratio:.2f}",
            "wall s": f"{r.wall_s:.2f}",
            "CPU s": f"{r.cpu_s:.2f}",
            "peak MB": f"{r.peak_mb:.0f}",
        }
        for r in results
    ]
    return [*table(rows), "", f"Medians of {rounds} rounds on {os.cpu_count()} cores; load average {load} at the end."]


if __name__ == "__main__":
    sys.exit(main())
