"""How well the benchmark harness repeats on a loaded machine, and whether its regression gate tells a change from none.

    python -m benchmarks.harness_repeatability [--sessions 6] [--comparisons 20] [--load 2] [--json FILE]

Loads every core with busy loops, then
- runs sessions of two int8 models and prints the coefficient of variation of their headline, and of what one process says;
- compares a model with itself, interleaved, and counts false alarms;
- compares it with itself slowed down by 10 % and counts what is caught.

Needs the models of EDGEKIT_DATA. Takes about half an hour at its defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgekit.bench.execute import Arm, RunnerExecutor
from edgekit.bench.headline import headlines, ratio
from edgekit.bench.launch import Request
from edgekit.bench.rounds import Stopping, run_rounds
from edgekit.bench.statistics import Change, change_of, estimate
from edgekit.bench.transport.base import Transport
from edgekit.bench.transport.local import LocalTransport

MODELS = ("dscnn_kws_int8_tf.tflite", "mobilenet_v1_025_vww_int8_tf.tflite")

#: Runs the runner with a model whose every call takes a tenth longer, whatever the machine does meanwhile.
_SLOWED = """
import sys, time, runpy
runner = runpy.run_path(sys.argv[1], run_name="runner")
opened = runner["open_session"]
def slowed(*arguments):
    session = opened(*arguments)
    invoke = session.invoke
    def slow():
        start = time.perf_counter_ns()
        invoke()
        end = time.perf_counter_ns()
        until = end + (end - start) // 10
        while time.perf_counter_ns() < until:
            pass
    session.invoke = slow
    return session
runner["launch"].__globals__["open_session"] = slowed
sys.exit(runner["main"](sys.argv[2:]))
"""


class SlowedExecutor(RunnerExecutor):
    """The runner, whose second artifact is slowed down by ``_SLOWED``."""

    def __init__(self, transport: Transport, arms: Sequence[Arm], request: Request, python: str) -> None:
        super().__init__(transport, arms, request, python)
        self._commands[1] = [python, "-c", _SLOWED, *self._commands[1][1:]]


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that do nothing but run."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def variation(values: Sequence[float]) -> float:
    """Coefficient of variation: sample standard deviation over mean."""
    return float(np.std(values, ddof=1) / np.mean(values))


def sessions(model: Path, count: int, stopping: Stopping) -> dict[str, object]:
    """Headlines of several sessions of one model, and what single processes say."""
    headline, everything, singles, launches = [], [], [], []
    for _ in range(count):
        with LocalTransport() as transport:
            executor = RunnerExecutor(transport, [Arm(model)], Request(watch=True), sys.executable)
            [made] = run_rounds(executor, 1, stopping)
        [found] = headlines([made], stopping.launches)
        headline.append(found.estimate().value)
        everything.append(estimate([launch.median_us for launch in made]).value)
        singles += [launch.median_us for launch in made]
        launches.append({"made": len(made), "disturbed": found.disturbed, "calls": found.calls.value})
        print(f"  {model.name}: {headline[-1]:.3f} us, {everything[-1]:.3f} us of all calls, {launches[-1]}", flush=True)
    return {
        "model": model.name,
        "launches": launches,
        "median_us": headline,
        "median_cv": variation(headline),
        "all_calls_us": everything,
        "all_calls_cv": variation(everything),
        "one_process_median_cv": variation(singles),
    }


def comparisons(model: Path, count: int, stopping: Stopping, *, slowed: bool) -> dict[str, object]:
    """How often a change is claimed between a model and itself, or itself slowed down by 10 %."""
    claimed, ratios, launches = 0, [], []
    for i in range(count):
        with LocalTransport() as transport:
            kind = SlowedExecutor if slowed else RunnerExecutor
            executor = kind(transport, [Arm(model), Arm(model)], Request(watch=True), sys.executable)
            arms = run_rounds(executor, 2, stopping)
        launches.append(len(arms[0]))
        found = ratio(*headlines(arms, stopping.launches))
        claimed += change_of(found) in (Change.SLOWER, Change.FASTER)
        ratios.append([round(number, 4) for number in (found.value, found.low, found.high)])
        verdict = change_of(found).value
        print(
            f"  {i + 1}: {found.value:.3f} ({found.low:.3f} to {found.high:.3f}) {verdict}, {launches[-1]} rounds", flush=True
        )
    result: dict[str, object] = {"model": model.name, "slowed": slowed, "comparisons": count, "claimed": claimed}
    return result | {"rounds": launches, "ratios_99": ratios}


def main() -> None:
    """Run all and print; see the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=6)
    parser.add_argument("--comparisons", type=int, default=20)
    parser.add_argument("--load", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--launches", type=int, default=15)
    parser.add_argument("--only", choices=("same", "slowed_10_percent"), help="one kind of comparison")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = Path(os.environ.get("EDGEKIT_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data") / "models"
    stopping = Stopping(launches=options.launches, at_most=max(options.launches, 40))
    result: dict[str, object] = {"cores": os.cpu_count(), "busy_loops": options.load}
    with busy(options.load):
        if options.sessions:
            result["sessions"] = [sessions(data / model, options.sessions, stopping) for model in MODELS]
        for name, slowed in (("same", False), ("slowed_10_percent", True)) if options.comparisons else ():
            if options.only not in (None, name):
                continue
            print(name)
            result[name] = comparisons(data / MODELS[0], options.comparisons, stopping, slowed=slowed)
    text = json.dumps(result, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
