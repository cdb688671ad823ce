"""``edgekit bench`` as it is typed: what is printed, the exit codes, and errors in three parts."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from edgekit.bench import qemu
from edgekit.bench.output.document import SCHEMA_FILE
from edgekit.cli import main
from edgekit.formats.tflite.schema_generated import BuiltinOperator
from tests.bench.devices import TestDevice, gone_within, running
from tests.bench.models import dense, unary

QUICK = ["--launches", "2", "--max-launches", "2", "--seconds", "0.05"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(dense(256, 64))
    return path


def bench(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["bench", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, Any]:
    found, out, err = bench(capsys, *arguments, "--json")
    assert found == code, err
    content: dict[str, Any] = json.loads(out)
    jsonschema.validate(content, json.loads(SCHEMA_FILE.read_text()))
    assert content["exit_code"] == code
    return content


def test_a_model_is_measured_and_shown(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = bench(capsys, model, *QUICK)
    assert code == 0 and err == ""
    assert "model.tflite" in out and " us" in out and "all calls" in out and "litert" in out


def test_json_is_one_document_that_follows_the_schema(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = document(capsys, model, *QUICK)
    assert content["schema"] == "edgekit.bench/1" and content["place"] == "host"
    latency = content["results"][0]["metrics"]["latency_us"]
    assert latency["ci95"][0] <= latency["median"] <= latency["ci95"][1] and latency["launches"] == 2
    # On a host so busy that no launch kept a core to itself, all calls count and the document says so.
    assert latency["calls"] in ("undisturbed", "all") and len(latency["launch_medians"]) + latency["disturbed_launches"] == 2


def test_several_models_are_measured_in_turn_and_compared(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = model.with_name("other.tflite")
    other.write_bytes(dense(2048, 1024))
    content = document(capsys, model, other, *QUICK)
    [pair] = content["comparisons"]
    assert pair["change"] == "slower" and pair["ratio"]["value"] > 2


def test_a_budget_of_size_fails_with_exit_code_three(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(
        'description = "Mine"\n[hardware]\nsoc = "x"\nabi = "arm64-v8a"\n[runtime]\nname = "litert"\n'
        "[budget]\nmodel_bytes = 1000\np95_latency_ms = 1\n"
    )
    content = document(capsys, model, *QUICK, "--device", own, code=3)
    checks = {check["name"]: check["verdict"] for check in content["results"][0]["budget"]["checks"]}
    assert checks == {"model_size": "fail", "latency_p95": "not measurable here"}
    junit = tmp_path / "junit.xml"
    assert bench(capsys, model, *QUICK, "--device", own, "--junit", junit)[0] == 3
    assert "budget model_size" in junit.read_text()


@pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="tflite-micro is not installed")
def test_a_micro_controller_is_checked_without_running_anything(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = document(capsys, model, "--device", "mcu-nrf5340")
    [result] = content["results"]
    assert result["metrics"]["latency_us"] is None and result["metrics"]["arena"]["head"] > 0
    checks = {check["name"]: check["verdict"] for check in result["budget"]["checks"]}
    assert checks == {"latency_p95": "not measurable here", "model_size": "pass", "arena": "pass"}


def test_a_regression_is_gated_against_an_older_session(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = model.with_name("old.json")
    old.write_text(json.dumps(document(capsys, model, *QUICK)))
    model.write_bytes(dense(2048, 1024))
    code, out, _ = bench(capsys, model, *QUICK, "--compare", old)
    assert code == 3 and "model.bytes" in out and "larger" in out


def test_golden_outputs_decide_the_exit_code(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden = model.with_name("golden.npz")
    np.savez(golden, y=np.zeros((1, 64), np.int8))
    content = document(capsys, model, *QUICK, "--golden", golden, code=5)
    assert content["results"][0]["output"]["golden"]["equal"] is False
    assert bench(capsys, model, *QUICK, "--golden", golden, "--tolerance", "255")[0] == 0


@pytest.mark.parametrize("mode", [["--mode", "cold"], ["--rate", "50/s", "--calls", "5"], ["--duration", "1"]])
def test_other_modes(mode: list[str], model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = document(capsys, model, "--launches", "1", "--max-launches", "1", "--seconds", "0.05", *mode)
    [result] = content["results"]
    assert result["mode"] == {"--mode": "cold", "--rate": "paced", "--duration": "soak"}[mode[0]]
    assert (result["metrics"]["soak"] is not None) == (result["mode"] == "soak")


def test_a_profile_lists_operators(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bench(capsys, model, "--profile", "--json")
    profile = json.loads(out)
    assert code == 0 and profile["schema"] == "edgekit.profile/1"
    assert any("Fully Connected" in op["name"] for op in profile["results"][0]["ops"])


def test_an_operator_that_was_interrupted_once_is_not_the_whole_profile() -> None:
    from edgekit.bench.op_profile import typical

    assert typical([1.0, 0.0] * 100 + [3000.0]) == 0.5 and typical([50.0] * 9 + [4000.0]) == 50.0


def test_instructions_are_counted_and_called_a_cost(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if qemu.missing():
        pytest.skip("counting instructions is not set up: missing " + ", ".join(qemu.missing()))
    content = document(capsys, model, "--on", "qemu:cortex-a76")
    [result] = content["results"]
    assert result["metrics"]["latency_us"] is None and result["metrics"]["instructions"]["cpu"] == "cortex-a76"
    assert content["place"] == "emulator" and content["on"] == "qemu:cortex-a76"
    assert "a cost and not a time" in bench(capsys, model, "--on", "qemu")[1].replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "no ARTIFACT given"),
        (["missing.tflite"], 2, "no file 'missing.tflite'"),
        (["MODEL", "--on", "telnet://x"], 2, "unknown device 'telnet://x'"),
        (["MODEL", "--device", "pi-6"], 2, "unknown device 'pi-6'"),
        (["MODEL", "--rate", "fast"], 2, "not a rate: 'fast'"),
        (["MODEL", "--rate", "1/s", "--duration", "5"], 2, "does not go with"),
        (["MODEL", "--compare", "nothing.json"], 2, "cannot read the older session"),
        (["MODEL", "--on", "qemu:cortex-a55"], 2, "no emulated core 'cortex-a55'"),
        (["MODEL", "--python", "/no/such/python"], 6, "cannot be started"),
        (["MODEL", "--cpus", "4096"], 2, "cannot run on the cores '4096'"),
        (["MODEL", "--input", "CUT"], 2, "cannot read the file of inputs"),
        (["MODEL", "--golden", "CUT"], 2, "cannot read the file of golden outputs"),
        (["MODEL", "--junit", "/no/folder/junit.xml"], 2, "there is no such folder"),
        (["MODEL", "--profile", "--on", "qemu"], 2, "not timed under emulation"),
        (["EMPTY"], 2, "the file is empty"),
        (["CUT"], 2, "cannot read the model"),
        (["CUSTOM"], 4, "lacks an op of the model"),
        (["LARQ"], 4, "Larq Compute Engine has it"),
    ],
)
def test_what_goes_wrong_is_said_in_three_parts_with_the_right_code(
    arguments: list[str], code: int, words: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut, custom = model.with_name("cut.tflite"), model.with_name("custom.tflite")
    cut.write_bytes(model.read_bytes()[:-500])
    custom.write_bytes(unary(BuiltinOperator.CUSTOM, custom="NobodysOp"))
    larq, empty = model.with_name("larq.tflite"), model.with_name("empty.onnx")
    larq.write_bytes(unary(BuiltinOperator.CUSTOM, custom="LceQuantize"))
    empty.touch()
    named = {"MODEL": str(model), "CUT": str(cut), "CUSTOM": str(custom), "LARQ": str(larq), "EMPTY": str(empty)}
    found, out, err = bench(capsys, *[named.get(word, word) for word in arguments], *QUICK)
    assert (found, out) == (code, ""), err
    assert err.startswith("error: ") and words in err and "  try:   " in err


def test_a_device_without_a_runtime_says_what_to_install(device: TestDevice, model: Path) -> None:
    with device.open() as transport:
        finished = transport.run([device.bare_python, transport.put(Path(_runner())), transport.put(model)], limit=60)
    from edgekit.bench.launch import read_launch
    from edgekit.errors import DeviceError

    with pytest.raises(DeviceError, match="no runtime for this model on the device") as caught:
        read_launch(finished.stdout, finished.stderr, finished.exit, where="there")
    assert caught.value.hint and "pip install ai-edge-litert" in caught.value.hint
    assert device.leftovers() == []


def _runner() -> str:
    from edgekit.bench import runner

    return str(runner.__file__)


@pytest.mark.parametrize("way", ["ssh", pytest.param("adb", marks=pytest.mark.slow)])
def test_a_model_is_measured_on_a_device_end_to_end(
    way: str, model: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    there: TestDevice = request.getfixturevalue(way)
    transport = there.open()
    options: list[object] = ["--on", transport.name, "--launches", 1, "--max-launches", 1, "--seconds", 0.05]
    options += ["--python", there.python, "--device", "pi-zero2w"]
    options += ["--ssh-config", getattr(transport, "_config", "")] if way == "ssh" else []
    content = document(capsys, model, *options)
    assert content["device"]["abi"] == "arm64-v8a" and content["place"] == "emulator"
    [result] = content["results"]
    assert result["runtime"]["machine"] == "aarch64" and result["kernels"]["delegate"] == "XNNPACK"
    verdicts = {check["name"]: check["verdict"] for check in result["budget"]["checks"]}
    assert verdicts["latency_p95"] == verdicts["memory"] == "not measurable here"
    here = document(capsys, model, "--launches", 1, "--max-launches", 1, "--seconds", 0.05)
    assert here["results"][0]["output"]["sha256"] == result["output"]["sha256"]  # int8: the same bits on both machines
    assert there.leftovers() == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ssh", "adb"])
@pytest.mark.parametrize(("content", "code"), [("cut", 2), ("custom", 4)])
def test_a_bad_model_on_a_device_is_told_and_leaves_nothing(
    way: str, content: str, code: int, model: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    there: TestDevice = request.getfixturevalue(way)
    transport = there.open()
    bad = unary(BuiltinOperator.CUSTOM, custom="NobodysOp") if content == "custom" else model.read_bytes()[:-500]
    model.write_bytes(bad)
    options = ["--ssh-config", getattr(transport, "_config", "")] if way == "ssh" else []
    found, _, err = bench(capsys, model, "--on", transport.name, "--python", there.python, *options, *QUICK)
    assert found == code and "  try:   " in err and transport.name in err
    assert there.leftovers() == []


def test_ctrl_c_ends_with_130_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    command = [sys.executable, "-m", "edgekit", "bench", str(model), "--seconds", "60.5", "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not running("--seconds 60.5 --rate") and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, "", "")
    assert gone_within(5, "--seconds 60.5 --rate") and list(folder.iterdir()) == []


def test_the_help_imports_neither_numpy_nor_a_runtime() -> None:
    script = (
        "import sys\nfrom edgekit.cli import main\nmain(['bench', '--help'])\n"
        "print([n for n in ('numpy', 'torch', 'ai_edge_litert', 'onnxruntime', 'rich') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stderr.strip() == "[]" and "ssh://user@host" in done.stdout
