"""Two .tflite files in turn in one process: what one call of each takes here.

    python -m benchmarks.latency A.tflite B.tflite [--seconds 3]

Prints the two medians in microseconds as JSON. Blocks of calls alternate (A B B A ...), so that other work on the machine and
its clock meet both alike; only ``invoke`` is timed. LiteRT's default kernels, one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: A block of calls takes about so long: above it the clock's own cost, below it the scheduler's slices.
_BLOCK_SECONDS = 0.0005


def ratio(file: Path, peer: Path, *, seconds: float, processes: int) -> float:
    """Median over processes of median latency of ``file`` / median latency of ``peer``; each process lays memory out anew."""
    ratios = []
    for _ in range(processes):
        command = [sys.executable, "-m", "benchmarks.latency", str(file), str(peer), "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[1])
        own, other = json.loads(done.stdout.splitlines()[-1])
        ratios.append(own / other)
    return statistics.median(ratios)


def _opened(path: Path, generator: object) -> Callable[[], None]:
    """``invoke`` of a loaded file whose inputs are random."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    assert isinstance(generator, np.random.Generator)
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        bits = generator.integers(0, 256, detail["shape"], dtype=np.uint8)
        interpreter.set_tensor(detail["index"], bits.astype(np.int16).astype(detail["dtype"]))
    return interpreter.invoke  # type: ignore[no-any-return]


def _block(invoke: Callable[[], None], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        invoke()
    return (time.perf_counter() - started) / calls


def main() -> None:
    """Measure and print; see the module's text."""
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs=2)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    arms = [_opened(path, np.random.default_rng(0)) for path in options.files]
    calls = [max(1, round(_BLOCK_SECONDS / min(_block(arm, 1) for _ in range(20)))) for arm in arms]
    times: list[list[float]] = [[], []]
    stop, forwards = time.perf_counter() + options.seconds, True
    while time.perf_counter() < stop:
        for index in (0, 1) if forwards else (1, 0):
            times[index].append(_block(arms[index], calls[index]))
        forwards = not forwards
    print(json.dumps([statistics.median(t) * 1e6 for t in times]))


if __name__ == "__main__":
    main()
