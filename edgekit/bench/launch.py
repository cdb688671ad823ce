"""What is asked of one launch and what it answers: the typed side of the runner's command line and result line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.errors import DeviceError, EdgekitError, InputError, Unsupported, UsageError

Mode = Literal["burst", "paced", "cold", "soak"]
MARK = "EDGEKIT_RESULT"


@dataclass(frozen=True)
class Request:
    """One launch.

    Attributes:
        mode: burst (back to back), paced (at ``rate`` a second), cold (first inference of a new process) or soak.
        runtime: ``auto``, ``litert``, ``tflite-runtime`` or ``onnxruntime``.
        kernels: ``default``, ``builtin`` (no delegate) or ``reference``.
        threads: threads of the runtime.
        cpus: cores to run on, such as ``0,1``; None leaves it to the scheduler.
        seed: of the random input.
        calls: least number of timed calls.
        seconds: least seconds of timed calls.
        rate: inferences a second in paced mode.
        duration: seconds of a soak.
        watch: take the core's speed between the calls of a burst, so that the undisturbed ones are known.
    """

    mode: Mode = "burst"
    runtime: str = "auto"
    kernels: str = "default"
    threads: int = 1
    cpus: str | None = None
    seed: int = 0
    calls: int = 30
    seconds: float = 0.5
    rate: float = 10.0
    duration: float = 60.0
    watch: bool = False

    def arguments(self) -> list[str]:
        """The runner's options, without paths."""
        words = ["--mode", self.mode, "--runtime", self.runtime, "--kernels", self.kernels, "--threads", str(self.threads)]
        words += ["--seed", str(self.seed), "--calls", str(self.calls), "--seconds", f"{self.seconds:g}"]
        words += ["--rate", f"{self.rate:g}", "--duration", f"{self.duration:g}"]
        return words + (["--cpus", self.cpus] if self.cpus else [])

    def limit_seconds(self) -> float:
        """How long the launch may take on the slowest device before it counts as hung."""
        paced = self.calls / self.rate if self.mode == "paced" else 0.0
        return 120 + 20 * self.seconds + 2 * paced + (2 * self.duration if self.mode == "soak" else 0.0)


@dataclass(frozen=True)
class Memory:
    """Memory of the launch in KiB; None where the kernel does not tell.

    Attributes:
        model: anonymous memory that loading the model and its first inference added: what the model costs.
        stack: resident memory that runtime and model added to the interpreter.
        peak: the process's high-water mark up to the first inference (VmHWM), interpreter included.
        anon: anonymous resident memory after the first inference.
        file: file-backed resident memory (libraries, the mapped model).
        pss: proportional set size.
    """

    model: int | None = None
    stack: int | None = None
    peak: int | None = None
    anon: int | None = None
    file: int | None = None
    pss: int | None = None

    @classmethod
    def parse(cls, points: Mapping[str, Mapping[str, int | None]]) -> Memory:
        """From the runner's readings at ``start``, ``runtime`` (imported) and ``ready`` (after the first inference)."""
        start, runtime, ready = points["start"], points["runtime"], points["ready"]

        def added(key: str, since: Mapping[str, int | None]) -> int | None:
            now, then = ready.get(key), since.get(key)
            return None if now is None or then is None else now - then

        rest = {key: ready.get(key) for key in ("anon", "file", "pss")}
        return cls(model=added("anon", runtime), stack=added("rss", start), peak=ready.get("hwm"), **rest)


@dataclass(frozen=True)
class Kernels:
    """Which kernels ran: the delegate that took the graph, how many ops it took, and the ops that it left."""

    delegate: str | None = None
    delegated_ops: int | None = None
    other_ops: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Golden:
    """The first call's outputs against the user's golden outputs."""

    equal: bool
    mismatches: int
    max_abs_difference: float


@dataclass(frozen=True)
class Soak:
    """Medians of a soak's windows, and its last third against its first (above 1: it became slower)."""

    window_median_us: tuple[float, ...]
    first_third_us: float
    last_third_us: float
    ratio: float


@dataclass(frozen=True)
class Undisturbed:
    """The calls of a launch between two ticks of a fixed loop that ran as fast as the fastest.

    Attributes:
        full_us: the fastest tick.
        calls: how many there are.
        median_us: their median; None where there is none.
    """

    full_us: float
    calls: int
    median_us: float | None


@dataclass(frozen=True)
class Launch:
    """One process's answer; times in microseconds.

    Attributes:
        median_us: what the mode measures: the median call, or load + initialisation + first inference of a cold start.
        percentiles: p50, p90, p95, p99; None where the launch has too few calls to have one.
        samples: timed calls.
        mad_us: median absolute deviation of the calls.
        init_us: load and initialisation of the model. first_us: the first inference. import_us: import of the runtime.
        sentinel_us: the fixed loop before and after, None in a cold start. sentinel_fastest_us: its fastest round.
        clock_overhead_ns: what reading the clock costs, already subtracted.
        notes: complaints of the runtime on stderr that matter.
        undisturbed: where the core's speed was watched.
        rows_us: the median call of each of the user's samples, None where its turn did not come; empty for one sample.
    """

    median_us: float
    percentiles: Mapping[str, float | None]
    samples: int
    mad_us: float | None
    init_us: float
    first_us: float
    import_us: float
    cpu_us: float | None
    memory: Memory
    kernels: Kernels
    runtime: Mapping[str, str]
    model_sha256: str
    output_sha256: str
    golden: Golden | None
    sentinel_us: tuple[float, float] | None
    sentinel_fastest_us: float | None
    clock_overhead_ns: float
    soak: Soak | None = None
    notes: tuple[str, ...] = ()
    undisturbed: Undisturbed | None = None
    rows_us: tuple[float | None, ...] = ()


def read_launch(stdout: str, stderr: str, exit_code: int, *, where: str) -> Launch:
    """The launch that a runner's output and exit code describe.

    Raises:
        InputError, Unsupported, DeviceError: the runner said what failed, or ended without a result.
    """
    return _parse(read_answer(stdout, stderr, exit_code, where=where), _notes(stderr))


def read_answer(stdout: str, stderr: str, exit_code: int, *, where: str) -> Mapping[str, Any]:
    """The JSON of the result line; errors as :func:`read_launch`."""
    line = next((text for text in reversed(stdout.splitlines()) if text.startswith(MARK + " ")), None)
    if line is None:
        raise _without_result(stderr or stdout, exit_code, where)
    answer: dict[str, Any] = json.loads(line[len(MARK) :])
    if answer["error"]:
        raise _as_error(answer["error"]["kind"], answer["error"]["message"], where)
    return answer


def _parse(answer: Mapping[str, Any], notes: tuple[str, ...]) -> Launch:
    latency = answer.get("latency_us") or {}
    kernels, golden, soak = answer["kernels"], answer["output"]["golden"], answer.get("soak")
    sentinel, undisturbed = answer["sentinel_us"], answer.get("undisturbed")
    cold = answer["init_us"] + answer["first_us"]
    return Launch(
        median_us=cold if answer["mode"] == "cold" else latency["p50"],
        percentiles={key: latency.get(key) for key in ("p50", "p90", "p95", "p99")},
        samples=latency.get("count", 1),
        mad_us=latency.get("mad"),
        init_us=answer["init_us"],
        first_us=answer["first_us"],
        import_us=answer["import_us"],
        cpu_us=answer.get("cpu_us"),
        memory=Memory.parse(answer["memory_kib"]),
        kernels=Kernels(kernels["delegate"], kernels["delegated_ops"], tuple(kernels["other_ops"].items())),
        runtime={key: str(value) for key, value in answer["runtime"].items()},
        model_sha256=answer["model"]["sha256"],
        output_sha256=answer["output"]["sha256"],
        golden=Golden(**golden) if golden else None,
        sentinel_us=(sentinel["before"][0], sentinel["after"][0]) if sentinel else None,
        sentinel_fastest_us=min(sentinel["before"][1], sentinel["after"][1]) if sentinel else None,
        clock_overhead_ns=answer["clock"]["overhead_ns"],
        soak=Soak(**{**soak, "window_median_us": tuple(soak["window_median_us"])}) if soak else None,
        notes=notes,
        undisturbed=Undisturbed(**undisturbed) if undisturbed else None,
        rows_us=tuple(answer.get("rows_us") or ()),
    )


def _as_error(kind: str, message: str, where: str) -> EdgekitError:
    """The runner's error as one of ours, with what to try."""
    text = " ".join(message.split())
    if kind in ("model-missing", "model-damaged"):
        what = f"the runtime cannot read the model: {text}"
        return InputError(
            what, where=where, hint="build it again, or check that the copy is complete (`edgekit inspect MODEL`)"
        )
    if kind == "unsupported":
        what = f"the runtime lacks an op of the model: {text}"
        hint = "a newer runtime on the device, or a target whose ops it has (`edgekit ops`)"
        if "custom op: Lce" in text:
            hint = "Larq Compute Engine has it, in which nothing is timed here; tflite-int8 is the same network for LiteRT"
        return Unsupported(what, where=where, hint=hint)
    if kind == "input":
        return InputError(text, where=where, hint="--input FILE.npz with one array per input, named like the inputs")
    if kind == "golden output":
        return InputError(text, where=where, hint="--golden FILE.npz with the model's outputs, in their order")
    if kind == "runtime-broken":
        hint = "tflite-runtime needs numpy below 2: pip install 'numpy<2', or install ai-edge-litert instead"
        return DeviceError(f"the runtime is installed but does not work: {text}", where=where, hint=hint)
    if kind == "cpus":
        return UsageError(text, where=where, hint="--cpus 0,1 names cores that the device has")
    if kind == "unexpected":
        return DeviceError(f"the runner failed on the device: {text}", where=where, hint="run runner.py there by hand")
    hint = "on the device: pip install ai-edge-litert numpy (or onnxruntime); --python says which interpreter is used"
    return DeviceError(f"no runtime for this model on the device: {text}", where=where, hint=hint)


def _notes(stderr: str) -> tuple[str, ...]:
    """Lines of a runtime's stderr that mean other kernels than usual."""
    wanted = ("error in cpuinfo", "failed to apply", "failed to create xnnpack")
    return tuple(line.strip() for line in stderr.splitlines() if any(words in line.lower() for words in wanted))


def _without_result(words: str, code: int, where: str) -> EdgekitError:
    """The error for a runner that died: by its exit code, as a shell reports it (128 + signal)."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    said = f"; its last words: {' | '.join(lines[-2:])}" if lines else ""
    if code in (126, 127):
        what, hint = "the program cannot be started on the device", "--python names the Python 3.9 or newer to use there"
        return DeviceError(what + said, where=where, hint=hint)
    if code in (132, 134, 135, 136, 139):
        what = f"the runtime crashed on the model (signal {code - 128}){said}"
        return InputError(what, where=where, hint="build the model again, or use a newer runtime on the device")
    if code in (137, 142):
        what, hint = "the runner was ended from outside", "out of memory there, or the model is too slow for the time allowed"
        return DeviceError(what + said, where=where, hint=hint)
    return DeviceError(
        f"the runner ended without a result (exit {code}){said}", where=where, hint="run it by hand on the device"
    )
