"""The runner: one process, one JSON line, times and memory that can be believed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.bench import runner
from edgekit.formats.tflite.schema_generated import BuiltinOperator
from tests.bench.models import dense, unary

RUNNER = Path(runner.__file__)
QUICK = ["--seconds", "0.05", "--warmup-seconds", "0.01"]


def run(*arguments: str, prefix: list[str] | None = None) -> dict[str, Any]:
    command = prefix or [sys.executable, str(RUNNER)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    assert lines and lines[-1].startswith("EDGEKIT_RESULT "), done.stderr
    answer: dict[str, Any] = json.loads(lines[-1].removeprefix("EDGEKIT_RESULT "))
    assert done.returncode == (1 if answer["error"] else 0)
    return answer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(dense(256, 64))
    return path


def test_one_launch_reports_everything_that_was_measured(model: Path) -> None:
    answer = run(str(model), *QUICK)
    latency = answer["latency_us"]
    assert latency["count"] >= 30 and answer["warmup"]["calls"] >= 10
    assert 0 < latency["min"] <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    assert answer["kernels"] == {"delegate": "XNNPACK", "delegated_ops": 1, "other_ops": {}}
    assert answer["runtime"]["name"] == "litert" and answer["model"]["bytes"] == model.stat().st_size
    assert answer["inputs"] == [{"name": "x", "shape": [1, 256], "dtype": "int8"}]
    assert answer["memory_kib"]["ready"]["hwm"] >= answer["memory_kib"]["ready"]["anon"] > 0


def test_the_runner_imports_nothing_of_edgekit_and_no_torch(model: Path) -> None:
    script = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('edgekit', 'torch')])"
    )
    command = [sys.executable, "-c", script, str(RUNNER), str(model), *QUICK]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"


def test_a_seed_decides_the_input_and_so_the_output(model: Path) -> None:
    first, again, other = (run(str(model), *QUICK, "--seed", seed)["output"]["sha256"] for seed in ("1", "1", "2"))
    assert first == again != other


def test_outputs_are_compared_with_golden_ones(model: Path, tmp_path: Path) -> None:
    golden = str(tmp_path / "golden.npz")
    run(str(model), *QUICK, "--save-output", golden)
    assert run(str(model), *QUICK, "--golden", golden)["output"]["golden"]["equal"] is True
    found = run(str(model), *QUICK, "--golden", golden, "--seed", "5")["output"]["golden"]
    assert found["equal"] is False and found["mismatches"] > 0 and found["max_abs_difference"] >= 1


def test_the_users_input_is_used_by_name_and_may_hold_several_samples(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    value = rng.integers(-128, 128, (3, 256), dtype=np.int8)
    np.savez(tmp_path / "three.npz", x=value)
    np.savez(tmp_path / "one.npz", x=value[:1])
    three, one = (run(str(model), *QUICK, "--input", str(tmp_path / f"{n}.npz")) for n in ("three", "one"))
    assert three["output"]["sha256"] == one["output"]["sha256"]  # of the first sample


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.zeros((1, 256), np.uint8)}, "wants int8"),
        ({"x": np.zeros((1, 100), np.int8)}, "wants shape"),
        ({"a": np.zeros(1), "b": np.zeros(1)}, "it has a, b"),
    ],
)
def test_an_input_that_does_not_fit_is_an_input_error(model: Path, tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "wrong.npz", **arrays)
    error = run(str(model), "--input", str(tmp_path / "wrong.npz"))["error"]
    assert error["kind"] == "input" and said in error["message"]


def test_floats_are_quantised_with_the_inputs_own_scale(model: Path, tmp_path: Path) -> None:
    value = np.random.default_rng(0).integers(-128, 128, (3, 256), dtype=np.int8)
    np.savez(tmp_path / "integers.npz", x=value)
    np.savez(tmp_path / "floats.npz", x_train=value * 0.05, y_train=np.zeros(3))  # the input's scale; beside labels
    first, second = (run(str(model), *QUICK, "--input", str(tmp_path / f"{n}.npz")) for n in ("integers", "floats"))
    assert first["output"]["sha256"] == second["output"]["sha256"]


def test_a_large_file_of_inputs_is_not_the_models_memory(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "large.npz", x=np.ones((100_000, 256), np.int8))
    points = run(str(model), *QUICK, "--input", str(tmp_path / "large.npz"))["memory_kib"]
    assert points["ready"]["anon"] - points["runtime"]["anon"] < 8_000 < 25_000 < points["runtime"]["anon"]


@pytest.mark.parametrize("option", ["--input", "--golden"])
@pytest.mark.parametrize("content", ["nothing", "text", "one array", "cut", "objects"])
def test_a_file_of_arrays_that_cannot_be_read_is_an_input_error(option: str, content: str, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, x=np.zeros((1, 256), np.int8), more=np.ones(3))
    if content == "nothing":
        path.unlink()
    elif content == "text":
        path.write_text("not an archive")
    elif content == "one array":
        path.unlink()
        np.save(path.with_suffix(".npy"), np.zeros((1, 256), np.int8))
        path.with_suffix(".npy").rename(path)
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    else:
        np.savez(path, x=np.array([None]))
    error = run(str(model), *QUICK, option, str(path))["error"]
    assert (
        error["kind"] == {"--input": "input", "--golden": "golden output"}[option]
        and ("inputs" if option == "--input" else "golden outputs") in error["message"]
    )


def test_cores_that_are_not_there_and_anything_unforeseen_are_told_in_the_result_line(model: Path, tmp_path: Path) -> None:
    assert run(str(model), *QUICK, "--cpus", "4096")["error"]["kind"] == "cpus"
    assert run(str(model), *QUICK, "--cpus", "big")["error"]["kind"] == "cpus"
    unforeseen = run(str(model), *QUICK, "--save-output", str(tmp_path / "no" / "folder.npz"))["error"]
    assert unforeseen["kind"] == "unexpected" and "FileNotFoundError" in unforeseen["message"]


def test_a_missing_damaged_or_unsupported_model_is_told_apart(model: Path, tmp_path: Path) -> None:
    assert run(str(tmp_path / "missing.tflite"))["error"]["kind"] == "model-missing"
    (tmp_path / "cut.tflite").write_bytes(model.read_bytes()[:-500])
    assert run(str(tmp_path / "cut.tflite"))["error"]["kind"] == "model-damaged"
    (tmp_path / "text.tflite").write_text("not a model")
    assert run(str(tmp_path / "text.tflite"))["error"]["kind"] == "model-damaged"
    (tmp_path / "custom.tflite").write_bytes(unary(BuiltinOperator.CUSTOM, custom="NobodysOp"))
    error = run(str(tmp_path / "custom.tflite"))["error"]
    assert error["kind"] == "unsupported" and "NobodysOp" in error["message"]


def test_a_runtime_that_is_not_there_is_told(model: Path) -> None:
    assert run(str(model), "--runtime", "onnxruntime")["error"]["kind"] == "runtime-missing"
    assert run(str(model), prefix=[sys.executable, "-S", "-I", str(RUNNER)])["error"]["kind"] == "runtime-missing"


def test_other_kernels_than_the_delegates_are_reported(model: Path) -> None:
    answer = run(str(model), *QUICK, "--kernels", "reference")
    assert answer["kernels"] == {"delegate": None, "delegated_ops": 0, "other_ops": {"FULLY_CONNECTED": 1}}


def test_an_onnx_model_runs_in_onnx_runtime(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    shape = ["N", 8]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    answer = run(str(path), *QUICK)
    assert answer["runtime"]["name"] == "onnxruntime" and answer["latency_us"]["count"] >= 30
    np.savez(tmp_path / "x.npz", x=np.ones((5, 8), np.float32))  # an open dimension takes the array as it is
    assert run(str(path), *QUICK, "--input", str(tmp_path / "x.npz"))["output"]["sha256"] != answer["output"]["sha256"]


def test_paced_calls_keep_their_rate(model: Path) -> None:
    answer = run(str(model), "--mode", "paced", "--rate", "50", "--calls", "20", "--seconds", "0", "--warmup-seconds", "0")
    assert answer["latency_us"]["count"] == 20 and answer["mode"] == "paced"


def test_a_cold_start_is_one_call_without_warm_up(model: Path) -> None:
    answer = run(str(model), "--mode", "cold")
    assert "latency_us" not in answer and answer["first_us"] > 0 and answer["init_us"] > 0 and answer["sentinel_us"] is None


def test_a_soak_compares_its_end_with_its_beginning(model: Path) -> None:
    soak = run(str(model), *QUICK, "--mode", "soak", "--duration", "0.6")["soak"]
    assert len(soak["window_median_us"]) == 30 and soak["ratio"] == soak["last_third_us"] / soak["first_third_us"]


def test_percentiles_are_left_out_where_there_are_too_few_calls() -> None:
    assert runner.summarise(range(1, 31))["p95"] is not None and runner.summarise(range(1, 31))["p99"] is None
    assert runner.summarise(range(1, 10))["p90"] is None and runner.summarise(range(1, 101))["p99"] is not None


def test_a_launch_past_its_limit_ends_even_inside_the_runtime(model: Path) -> None:
    command = [sys.executable, str(RUNNER), str(model), "--seconds", "60", "--limit", "0.5"]
    assert subprocess.run(command, capture_output=True, timeout=30).returncode == -14


# --------------------------------------------------------------------------------- other work on the same machine


def scripted_machine(monkeypatch: pytest.MonkeyPatch, slow: Callable[[int], bool]) -> Callable[[], int]:
    """A core whose tick takes 10 us and whose calls take 40, or 14 and 60 while it is slow, as ``slow`` says of the second."""
    now = [0]

    def passes(fast: int, slowed: int) -> int:
        spent = slowed if slow(now[0]) else fast
        now[0] += spent
        return spent

    monkeypatch.setattr(runner.time, "perf_counter_ns", lambda: now[0])
    monkeypatch.setattr(runner.time, "process_time_ns", lambda: now[0])
    monkeypatch.setattr(runner, "tick", lambda: passes(10_000, 14_000))
    return lambda: passes(40_000, 60_000)


def test_undisturbed_calls_are_those_between_two_ticks_at_full_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    step = scripted_machine(monkeypatch, lambda now: now % 10_000_000 > 1_000_000)
    times, undisturbed, cpu_us = runner.take_watched(step, 30, 0.05, 0.0)
    assert sorted(times)[len(times) // 2] == 60_000 and 40 < cpu_us < 60
    assert undisturbed["full_us"] == 10.0 and undisturbed["median_us"] == 40.0
    assert 0.05 < undisturbed["calls"] / len(times) < 0.15


def test_a_launch_goes_on_while_the_core_is_below_its_known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(now: int) -> bool:
        return now < 100_000_000

    times, undisturbed, _ = runner.take_watched(scripted_machine(monkeypatch, late), 30, 0.05, 10.0)
    assert undisturbed["median_us"] == 40.0 and 30 <= undisturbed["calls"] < 60  # soon after the core was free
    times, undisturbed, _ = runner.take_watched(scripted_machine(monkeypatch, lambda now: True), 30, 0.05, 10.0)
    assert undisturbed["full_us"] == 14.0 and 0.17e9 < sum(times) < 0.2e9  # four times as long, and no longer


def test_a_real_launch_watches_the_core_where_it_is_asked_to(model: Path) -> None:
    answer = run(str(model), *QUICK, "--watch", "0")
    assert answer["undisturbed"]["calls"] <= answer["latency_us"]["count"] and answer["undisturbed"]["full_us"] > 0
    assert "undisturbed" not in run(str(model), *QUICK)


# --------------------------------------------------------------------------------- memory

PLANT = """
import runpy, sys
import numpy as np
made = runpy.run_path(sys.argv[1], run_name="runner")
opened, kept = made["open_session"], []
def planted(*arguments):
    kept.append(np.ones(int(sys.argv[2]) * 1024, np.uint8))  # touched: it is resident
    return opened(*arguments)
made["launch"].__globals__["open_session"] = planted
sys.exit(made["main"](sys.argv[3:]))
"""


def added_by_the_model(model: Path, planted_kib: int) -> int:
    found = []
    for _ in range(3):
        points = run(str(model), *QUICK, prefix=[sys.executable, "-c", PLANT, str(RUNNER), str(planted_kib)])["memory_kib"]
        found.append(points["ready"]["anon"] - points["runtime"]["anon"])
    return sorted(found)[1]


def test_a_planted_mebibyte_shows_as_one(model: Path) -> None:
    assert abs(added_by_the_model(model, 1024) - added_by_the_model(model, 0) - 1024) <= 64


def test_the_peak_does_not_depend_on_the_parents_size(model: Path) -> None:
    parent = (
        "import subprocess, sys\n"
        "held = b'x' * (400_000_000 if sys.argv[1] == 'large' else 1)\n"  # written to, so it is resident
        "sys.exit(subprocess.run(sys.argv[2:]).returncode)"
    )
    peaks = []
    for size in ("small", "large"):
        answer = run(str(model), *QUICK, prefix=[sys.executable, "-c", parent, size, sys.executable, str(RUNNER)])
        peaks.append(answer["memory_kib"]["ready"]["hwm"])
    assert abs(peaks[1] - peaks[0]) < 0.03 * peaks[0] < 10_000


# --------------------------------------------------------------------------------- a 5-microsecond model

BATCHES = """
import sys, time
from ai_edge_litert.interpreter import Interpreter
import numpy as np
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
details = interpreter.get_input_details()[0]
interpreter.set_tensor(details["index"], np.random.default_rng(0).integers(-128, 128, details["shape"], dtype=np.int8))
invoke, clock, best = interpreter.invoke, time.perf_counter_ns, []
for _ in range(2000):
    start = clock()
    for _ in range(20):
        invoke()
    best.append((clock() - start) / 20_000)
print(min(best))
"""


def test_a_five_microsecond_model_has_three_digits_that_mean_something(real_data: Path) -> None:
    """The fastest call agrees with the time of twenty calls in a row, which needs no fine clock, within 5 %.

    On a busy machine it takes a while until both have met an undisturbed moment.
    """
    model = real_data / "models" / "autoencoder_ad_int8_tf.tflite"
    single, batched = [], []
    for _ in range(15):
        single.append(run(str(model), "--seconds", "0.3")["latency_us"]["min"])
        done = subprocess.run([sys.executable, "-c", BATCHES, str(model)], capture_output=True, text=True, check=True)
        batched.append(float(done.stdout.splitlines()[-1]))
        if abs(min(single) / min(batched) - 1) < 0.05:
            break
    assert min(single) < 20
    assert abs(min(single) / min(batched) - 1) < 0.05, (single, batched)
