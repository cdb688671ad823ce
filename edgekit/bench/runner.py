#!/usr/bin/env python3
"""Measure one model file in one process: the part of edgekit that runs on the device.

It needs Python 3.9, numpy and one runtime (ai-edge-litert, tflite-runtime or onnxruntime) and imports nothing of edgekit, so it
can be copied anywhere and run by hand: ``python3 runner.py model.tflite``. One process is one *launch*: load, initialise, first
inference, warm-up, samples. The last line of stdout is ``EDGEKIT_RESULT`` and one JSON object; failures are reported in it too
(key ``error``). All times are of the monotonic nanosecond clock, less what reading that clock costs; memory is read from /proc
inside this process, because what a parent sees (``ru_maxrss``) contains the parent's own size.
"""

from __future__ import annotations

import argparse
import array
import gc
import hashlib
import json
import os
import platform
import signal
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

MARK = "EDGEKIT_RESULT"
SCHEMA = "edgekit.launch/1"
SAME_SPEED = 1.05  # a tick that takes 5 % longer than the fastest one was not at full speed
PACKAGES = {"litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime", "onnxruntime": "onnxruntime"}


class RunnerError(Exception):
    """A failure that the host turns into its own three-part error; ``kind`` decides its exit code.

    Kinds: ``model-missing``, ``model-damaged``, ``unsupported``, ``runtime-missing``, ``runtime-broken``, ``input``,
    ``golden output``, ``cpus``, and ``unexpected`` for any other exception.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_memory() -> Dict[str, Optional[int]]:
    """KiB of this process now: ``hwm`` (peak resident), ``rss``, ``anon``, ``file``, ``pss``; None where /proc does not say."""
    wanted = {"VmHWM": "hwm", "VmRSS": "rss", "RssAnon": "anon", "RssFile": "file", "Pss": "pss"}
    found: Dict[str, Optional[int]] = dict.fromkeys(wanted.values())
    for path in ("/proc/self/status", "/proc/self/smaps_rollup"):
        try:
            with open(path) as lines:
                for line in lines:
                    name, _, rest = line.partition(":")
                    if name in wanted:
                        found[wanted[name]] = int(rest.split()[0])
        except OSError:
            continue
    return found


class TfliteSession:
    """A .tflite file in LiteRT or tflite-runtime. Inputs stay set between calls, so only the inference itself is timed."""

    def __init__(self, path: str, threads: int, kernels: str, package: str) -> None:
        module = sys.modules[package]
        self.runtime = "litert" if package.startswith("ai_edge") else "tflite-runtime"
        self.version = _version(package.split(".")[0].replace("_", "-"))
        options: Dict[str, Any] = {"model_path": path, "num_threads": threads}
        if kernels != "default":
            name = "BUILTIN_REF" if kernels == "reference" else "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
            options["experimental_op_resolver_type"] = getattr(module.OpResolverType, name)
        self._interpreter = module.Interpreter(**options)
        self._interpreter.allocate_tensors()
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        self.invoke: Callable[[], None] = self._interpreter.invoke
        self.inputs = [(d["name"], [int(n) for n in d["shape"]], d["dtype"].__name__, d["quantization"]) for d in self._inputs]

    def feed(self, arrays: Sequence[Any]) -> None:
        """Set all inputs."""
        for details, value in zip(self._inputs, arrays):
            self._interpreter.set_tensor(details["index"], value)

    def fetch(self) -> List[Any]:
        """The outputs of the last call."""
        return [self._interpreter.get_tensor(d["index"]) for d in self._outputs]

    def kernels(self) -> Dict[str, Any]:
        """Which kernels run: whether a delegate took the graph, and the ops it left to the built-in kernels."""
        nodes = self._interpreter._get_ops_details()
        delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
        plain = [node for node in nodes if node["op_name"] != "DELEGATE"]
        producer = {int(t): i for i, node in enumerate(plain) for t in node["outputs"]}
        taken = set()
        for node in delegates:  # a delegate's node replaces what lies between its outputs and its inputs
            border, todo = {int(t) for t in node["inputs"]}, [int(t) for t in node["outputs"]]
            while todo:
                i = producer.get(todo.pop())
                if i is not None and i not in taken:
                    taken.add(i)
                    todo += [int(t) for t in plain[i]["inputs"] if int(t) not in border]
        left = [node["op_name"] for i, node in enumerate(plain) if i not in taken]
        return {
            "delegate": "XNNPACK" if delegates else None,
            "delegated_ops": len(taken),
            "other_ops": {name: left.count(name) for name in sorted(set(left))},
        }


class OnnxSession:
    """An .onnx file in ONNX Runtime on the CPU; the timed call is ``InferenceSession.run`` with all outputs."""

    def __init__(self, path: str, threads: int) -> None:
        import onnxruntime

        self.runtime, self.version = "onnxruntime", onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = []
        for node in self._session.get_inputs():
            shape = [n if isinstance(n, int) and n > 0 else 0 for n in node.shape]  # 0: any size, 1 unless an .npz says
            dtype = node.type[len("tensor(") : -1]
            self.inputs.append((node.name, shape, {"float": "float32", "double": "float64"}.get(dtype, dtype), (0.0, 0)))
        self._feeds: Dict[str, Any] = {}
        self._results: List[Any] = []
        self.invoke: Callable[[], None] = self._invoke

    def _invoke(self) -> None:
        self._results = self._session.run(None, self._feeds)

    def feed(self, arrays: Sequence[Any]) -> None:
        """Set all inputs."""
        self._feeds = {spec[0]: value for spec, value in zip(self.inputs, arrays)}

    def fetch(self) -> List[Any]:
        """The outputs of the last call."""
        return list(self._results)

    def kernels(self) -> Dict[str, Any]:
        """ONNX Runtime's CPU provider; it has no delegates."""
        return {"delegate": "CPUExecutionProvider", "delegated_ops": None, "other_ops": {}}


def _version(distribution: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def import_runtime(path: str, runtime: str) -> str:
    """Import the runtime that fits the file's content and return its package: LiteRT, else tflite-runtime; or ONNX Runtime.

    Raises:
        RunnerError: the file is missing or of another kind, or no such runtime is installed.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise RunnerError("model-missing", "cannot read the model: " + str(error)) from error
    if not head:
        raise RunnerError("model-damaged", "the file is empty")
    tflite = head[4:8] == b"TFL3"
    if not tflite and not path.endswith(".onnx"):
        raise RunnerError("model-damaged", "the file is neither TFLite (no TFL3 mark) nor named .onnx")
    fitting = ["ai_edge_litert.interpreter", "tflite_runtime.interpreter"] if tflite else ["onnxruntime"]
    if runtime != "auto":
        fitting = [package for package in fitting if package.startswith(PACKAGES[runtime])]
    missing = [] if fitting else [runtime + " does not read this kind of file"]
    for package in fitting:
        try:
            __import__(package)
            return package
        except ImportError as error:
            missing.append(str(error))
    raise RunnerError("runtime-missing", "; ".join(missing))


def open_session(path: str, package: str, threads: int, kernels: str) -> Any:
    """Load ``path`` in the imported runtime.

    Raises:
        RunnerError: the file is damaged, the runtime cannot run the model, or the runtime itself is broken.
    """
    try:
        return OnnxSession(path, threads) if package == "onnxruntime" else TfliteSession(path, threads, kernels, package)
    except Exception as error:
        raise _explain(error) from error


def _explain(error: Exception) -> RunnerError:
    """Sort a runtime's exception by its words: these runtimes have no classes for it."""
    text = type(error).__name__ + ": " + str(error)
    low = text.lower()
    if isinstance(error, (SystemError, AttributeError, ImportError)) or "numpy.core.multiarray" in low:
        return RunnerError("runtime-broken", text)
    if "didn't find op" in low or "not find op" in low or "unresolved custom op" in low or "not_implemented" in low:
        return RunnerError("unsupported", text)
    if "not a registered function" in low or "opset" in low or "unregistered" in low or "ops in the model" in low:
        return RunnerError("unsupported", text)
    return RunnerError("model-damaged", text)


def read_npz(path: str, what: str) -> Dict[str, Any]:
    """All arrays of an .npz by name; RunnerError where it is none, or damaged."""
    import numpy as np

    try:
        data = np.load(path, allow_pickle=False)
        if hasattr(data, "files"):
            return {key: data[key] for key in data.files}
    except Exception as error:  # zipfile, zlib, numpy and the system have a dozen classes for it
        raise RunnerError(what, "cannot read the file of %ss: %s" % (what, error)) from error
    raise RunnerError(what, "the file of %ss holds one array without a name: it must be an .npz" % what)


def as_type(value: Any, dtype: str, quantization: Any) -> Any:
    """The array in a model input's type, where that changes no meaning: another float, or a float in the input's own scale."""
    import numpy as np

    kind, (scale, zero) = np.dtype(dtype), quantization
    if value.dtype.kind == "f" and kind.kind == "f":
        return value.astype(kind)
    if value.dtype.kind == "f" and kind.kind in "iu" and scale:
        info = np.iinfo(kind)
        return np.clip(np.rint(value / scale) + zero, info.min, info.max).astype(kind)
    return value


def in_order(value: Any, shape: Sequence[int]) -> Any:
    """Samples with their channels first, for a file that takes them last; all others as they are."""
    import numpy as np

    sizes, size = list(value.shape[1:]), list(shape[1:])
    turned = len(sizes) == len(size) > 1 and sizes != size and [*sizes[1:], sizes[0]] == size
    return np.ascontiguousarray(np.moveaxis(value, 1, -1)) if turned else value


def make_inputs(specs: Sequence[Any], data: Optional[Dict[str, Any]], seed: int, most: int = 256) -> List[List[Any]]:
    """Sets of inputs, one array per model input each: seeded random numbers, or the rows of the user's .npz.

    Random: floats are standard normal, 8- and 16-bit integers span their type, wider integers (mostly indices) are 0 or 1.
    In an .npz keys are the inputs' names, or ``input_0`` ..., of a single input ``x``, ``x_train`` or ``x_test``, or the arrays
    stand in input order; axis 0 may hold samples, of which the first ``most`` are used. Numbers with a point are quantised for
    an integer input that has a scale; channels are put last where the file has them there.
    """
    import numpy as np

    if data is None:
        rng, row = np.random.default_rng(seed), []
        for _, sizes, dtype, _ in specs:
            kind, shape = np.dtype(dtype), [n or 1 for n in sizes]
            if kind.kind == "f":
                row.append(rng.standard_normal(shape).astype(kind))
            elif kind.kind in "iu" and kind.itemsize <= 2:
                info = np.iinfo(kind)
                row.append(rng.integers(info.min, info.max + 1, size=shape, dtype=np.int64).astype(kind))
            else:
                row.append(rng.integers(0, 2, size=shape).astype(kind))
        return [row]
    columns = []
    for i, (name, shape, dtype, scale) in enumerate(specs):
        keys = [name, "input_%d" % i] + (["x", "x_train", "x_test"] if len(specs) == 1 else [])
        keys += [list(data)[i]] if len(data) == len(specs) else []
        key = next((k for k in keys if k in data), None)
        if key is None:
            raise RunnerError("input", "no array for input %r in the file of inputs: it has %s" % (name, ", ".join(data)))
        value, size = np.ascontiguousarray(data[key]), int(np.prod([n for n in shape if n]))
        if value.size == 0 or value.size % size or (0 in shape and value.ndim != len(shape)):
            raise RunnerError("input", "input %r wants shape %s, the array %r has %s" % (name, shape, key, value.shape))
        value = in_order(value, shape)
        value = as_type(value.reshape([1, *value.shape] if 0 in shape else [-1, *shape])[:most], dtype, scale)
        if value.dtype != np.dtype(dtype):
            raise RunnerError("input", "input %r wants %s, the array %r is %s" % (name, dtype, key, value.dtype))
        columns.append(value)
    if len({len(column) for column in columns}) != 1:
        raise RunnerError("input", "the arrays hold different numbers of samples")
    return [list(row) for row in zip(*columns)]


def compare(outputs: Sequence[Any], golden: str) -> Dict[str, Any]:
    """Outputs against an .npz of the same arrays in output order: ``equal``, ``mismatches`` and ``max_abs_difference``."""
    import numpy as np

    wanted = list(read_npz(golden, "golden output").values())
    if [w.size for w in wanted] != [o.size for o in outputs]:
        raise RunnerError("golden output", "the golden file's arrays do not have the sizes of the model's outputs")
    worst, mismatches = 0.0, 0
    for out, want in zip(outputs, wanted):
        difference = np.abs(out.astype(np.float64).ravel() - want.astype(np.float64).ravel())
        mismatches += int(np.count_nonzero(~(difference == 0)))
        worst = max(worst, float(difference.max()) if difference.size else 0.0)
    return {"equal": mismatches == 0, "mismatches": mismatches, "max_abs_difference": worst}


def clock_cost() -> int:
    """Nanoseconds that reading the clock twice costs: subtracted from every sample."""
    clock, costs = time.perf_counter_ns, []
    for _ in range(2001):
        start = clock()
        costs.append(clock() - start)
    return sorted(costs)[1000]


def sentinel() -> List[float]:
    """Microseconds of a fixed loop, median and fastest of 41 rounds: the core's speed without the scheduler's breaks."""
    times = []
    for _ in range(41):
        start, total = time.perf_counter_ns(), 0
        for i in range(1500):
            total += i * i & 7
        times.append(time.perf_counter_ns() - start)
    return [sorted(times)[20] / 1000, min(times) / 1000]


def tick() -> int:
    """Nanoseconds of a short fixed loop, some 10 us: whether this core runs at its full speed at this moment."""
    start, total = time.perf_counter_ns(), 0
    for i in range(300):
        total += i * i & 7
    return time.perf_counter_ns() - start


def take_watched(
    step: Callable[[], int], calls: int, seconds: float, full_us: float, patience: float = 4.0
) -> Tuple[array.array[int], Dict[str, Any], float]:
    """Samples between ticks, and the undisturbed ones: where the tick before and the tick after ran at full speed.

    On a machine that others use too, a core is slower while its neighbour works or while it is taken away. Whether it is shows
    in the ticks, whatever the model's own calls take, so no call is left out for having been slow.

    ``full_us`` is the tick at full speed as far as it is known, else 0: where fewer than ``calls`` samples were taken at that
    speed, sampling goes on for up to ``patience`` times as long. Returned are all samples, a summary of the undisturbed ones
    (``full_us``: the fastest tick), and processor microseconds per call.
    """
    clock, processor, times, ends, cpu = time.perf_counter_ns, time.process_time_ns, array.array("q"), array.array("q"), 0
    ticks, start, good = array.array("q", [tick()]), clock(), 0
    limit = full_us * 1000 * SAME_SPEED
    while True:
        used, begin, at = processor(), clock(), len(times)
        while len(times) == at or clock() - begin < 100_000:  # short, because full speed may last no longer
            times.append(step())
        cpu += processor() - used
        ticks.append(tick())
        ends.append(len(times))
        good += len(times) - at if max(ticks[-2], ticks[-1]) <= limit else 0
        spent = (clock() - start) / 1e9
        if len(times) >= calls and spent >= seconds and (not limit or good >= calls or spent >= patience * seconds):
            break
    fastest, undisturbed, at = min(ticks), array.array("q"), 0
    for i, end in enumerate(ends):
        if max(ticks[i], ticks[i + 1]) <= fastest * SAME_SPEED:
            undisturbed.extend(times[at:end])
        at = end
    median = sorted(undisturbed)[len(undisturbed) // 2] / 1000 if undisturbed else None
    return times, {"full_us": fastest / 1000, "calls": len(undisturbed), "median_us": median}, cpu / 1000 / len(times)


def take_samples(step: Callable[[], int], calls: int, seconds: float, period: float = 0.0) -> array.array[int]:
    """Call ``step`` (returns nanoseconds) at least ``calls`` times and ``seconds`` long, every ``period`` seconds."""
    times = array.array("q")
    start = time.perf_counter()
    due = start
    while len(times) < calls or time.perf_counter() - start < seconds:
        if period:
            time.sleep(max(0.0, due - time.perf_counter()))
            due = max(due + period, time.perf_counter())
        times.append(step())
    return times


def soak(step: Callable[[], int], duration: float, windows: int = 30, keep: int = 4000) -> Dict[str, Any]:
    """Run without a break for ``duration`` seconds: the median of each of 30 windows, and the last third against the first."""
    medians = []
    start = time.perf_counter()
    for i in range(windows):
        times, end = array.array("q"), start + duration * (i + 1) / windows
        while time.perf_counter() < end or not times:
            value = step()
            if len(times) < keep:  # bounded memory: a window of a fast model keeps its first calls
                times.append(value)
        medians.append(sorted(times)[len(times) // 2] / 1000)
    third = windows // 3
    first, last = sorted(medians[:third])[third // 2], sorted(medians[-third:])[third // 2]
    return {"window_median_us": medians, "first_third_us": first, "last_third_us": last, "ratio": last / first}


def summarise(times: Sequence[int]) -> Dict[str, Any]:
    """Microseconds: percentiles (None where there are too few samples to have one), mean and median absolute deviation."""
    import numpy as np

    us = np.asarray(times, dtype=np.float64) / 1000
    rank = {"p50": 1, "p90": 10, "p95": 20, "p99": 100}
    summary: Dict[str, Any] = {k: float(np.percentile(us, int(k[1:]))) if us.size >= n else None for k, n in rank.items()}
    summary.update(count=int(us.size), min=float(us.min()), max=float(us.max()), mean=float(us.mean()))
    summary["mad"] = float(np.median(np.abs(us - np.median(us))))
    return summary


def by_row(order: Sequence[int], times: Sequence[int], rows: int) -> List[Optional[float]]:
    """The median call of each of the user's samples in microseconds; None for one whose turn did not come."""
    found: List[List[int]] = [[] for _ in range(rows)]
    for row, nanoseconds in zip(order, times):
        found[row].append(nanoseconds)
    return [sorted(each)[len(each) // 2] / 1000 if each else None for each in found]


def launch(options: argparse.Namespace) -> Dict[str, Any]:
    """One launch of ``options.model``; the dict that is printed."""
    if options.cpus and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, {int(cpu) for cpu in options.cpus.split(",")})
        except (ValueError, OSError) as error:
            raise RunnerError("cpus", "cannot run on the cores '%s': %s" % (options.cpus, error)) from error
    before = sentinel() if options.mode != "cold" else None
    if options.mode == "cold" and hasattr(os, "posix_fadvise") and os.path.exists(options.model):
        descriptor = os.open(options.model, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    import numpy as np

    base = read_memory()
    started = time.perf_counter_ns()
    package = import_runtime(options.model, options.runtime)
    imported = time.perf_counter_ns()
    data = read_npz(options.input, "input") if options.input else None  # before the reading of memory: it is not the model's
    empty = read_memory()
    opening = time.perf_counter_ns()
    session = open_session(options.model, package, options.threads, options.kernels)
    loaded = time.perf_counter_ns()
    rows = make_inputs(session.inputs, data, options.seed)
    session.feed(rows[0])
    clock, invoke = time.perf_counter_ns, session.invoke
    begin = clock()
    try:
        invoke()
    except Exception as error:
        raise RunnerError("input", "the model does not run on these inputs: " + str(error)) from error
    first = clock() - begin
    outputs = [np.ascontiguousarray(o) for o in session.fetch()]
    ready = read_memory()
    result: Dict[str, Any] = {"schema": SCHEMA, "mode": options.mode, "error": None}
    result.update(import_us=(imported - started) / 1000, init_us=(loaded - opening) / 1000, first_us=first / 1000)
    overhead = clock_cost()
    turn, order = [0], array.array("q")

    def step() -> int:
        if len(rows) > 1:  # data-dependent models: go through the user's samples, outside the timed part
            turn[0] = (turn[0] + 1) % len(rows)
            session.feed(rows[turn[0]])
            order.append(turn[0])
        start = clock()
        invoke()
        return max(clock() - start - overhead, 1)

    if options.mode != "cold":
        gc.collect()
        gc.disable()
        warm = take_samples(step, options.warmup_calls, options.warmup_seconds)
        if options.mode == "soak":
            result["soak"] = soak(step, options.duration)
        if options.mode == "burst" and options.watch is not None:
            times, result["undisturbed"], result["cpu_us"] = take_watched(step, options.calls, options.seconds, options.watch)
        else:
            cpu = time.process_time_ns()
            times = take_samples(step, options.calls, options.seconds, 1 / options.rate if options.mode == "paced" else 0.0)
            result["cpu_us"] = (time.process_time_ns() - cpu) / 1000 / len(times) if options.mode == "burst" else None
        gc.enable()
        result["warmup"] = {"calls": len(warm), "median_us": sorted(warm)[len(warm) // 2] / 1000}
        result["latency_us"] = summarise(times)
        result["rows_us"] = by_row(order[-len(times) :], times, len(rows)) if len(rows) > 1 else []
    result["memory_kib"] = {"start": base, "runtime": empty, "ready": ready, "end": read_memory()}
    result["sentinel_us"] = None if before is None else {"before": before, "after": sentinel()}
    result["clock"] = {"overhead_ns": overhead, "resolution_ns": time.get_clock_info("perf_counter").resolution * 1e9}
    result["kernels"] = session.kernels()
    result["inputs"] = [{"name": n, "shape": s, "dtype": d} for n, s, d, _ in session.inputs]
    digest = hashlib.sha256(b"".join(o.tobytes() for o in outputs)).hexdigest()
    result["output"] = {"sha256": digest, "golden": compare(outputs, options.golden) if options.golden else None}
    if options.save_output:
        named: Dict[str, Any] = {"output_%d" % i: o for i, o in enumerate(outputs)}
        np.savez(options.save_output, **named)
    result["runtime"] = {"name": session.runtime, "version": session.version, "numpy": np.__version__}
    result["runtime"].update(python=platform.python_version(), machine=platform.machine(), threads=options.threads)
    with open(options.model, "rb") as file:
        content = file.read()
    result["model"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return result


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; every option has a default, so that a model's path is enough."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--mode", choices=("burst", "paced", "cold", "soak"), default="burst")
    parser.add_argument("--runtime", choices=("auto", "litert", "tflite-runtime", "onnxruntime"), default="auto")
    parser.add_argument("--kernels", choices=("default", "builtin", "reference"), default="default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpus", help="cores to run on, such as 0,1")
    parser.add_argument("--input", help=".npz with the inputs (default: seeded random numbers)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--golden", help=".npz with the outputs to compare with")
    parser.add_argument("--save-output", help="write the first call's outputs to this .npz")
    parser.add_argument("--warmup-calls", type=int, default=10)
    parser.add_argument("--warmup-seconds", type=float, default=0.2)
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--watch", type=float, metavar="US", help="watch the core's speed between calls; 0, or its tick")
    parser.add_argument("--rate", type=float, default=10.0, help="inferences a second in paced mode")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds of a soak")
    parser.add_argument("--limit", type=float, default=0.0, help="seconds after which the kernel ends this process")
    return parser.parse_args(arguments)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one launch and print its result line; 0, or 1 where the result is an error."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.limit > 0:  # no handler: the default action ends the process even where a runtime holds the interpreter lock
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, options.limit)
    try:
        result = launch(options)
    except RunnerError as error:
        result = {"schema": SCHEMA, "error": {"kind": error.kind, "message": str(error)}}
    except ImportError as error:
        result = {"schema": SCHEMA, "error": {"kind": "runtime-missing", "message": str(error)}}
    except Exception as error:
        traceback.print_exc()
        result = {"schema": SCHEMA, "error": {"kind": "unexpected", "message": type(error).__name__ + ": " + str(error)}}
    sys.stderr.flush()
    print(MARK, json.dumps(result), flush=True)
    return 1 if result["error"] else 0


if __name__ == "__main__":
    sys.exit(main())
