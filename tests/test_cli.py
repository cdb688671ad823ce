"""The command line: help, errors in three parts, exit codes, and the request that `build` makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from edgekit.cli import main
from edgekit.cli.build_command import build, make_request
from edgekit.cli.root import COMMANDS, root
from edgekit.config import BuildRequest
from edgekit.errors import ConfigError, Unsupported, UsageError
from edgekit.target import target_names


def request(*arguments: str) -> BuildRequest:
    """The request that `edgekit build ARGUMENTS` would start."""
    return make_request(build.make_context("build", list(arguments)).params)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return Path.cwd()


def test_every_command_has_the_help_that_the_overview_shows() -> None:
    context = click.Context(root)
    for name, text in COMMANDS.items():
        command = root.get_command(context, name)
        assert command is not None
        assert (command.help or "").splitlines()[0].rstrip(".") in text, name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: edgekit {name}" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from edgekit.cli.root import root; root.main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"torch", "numpy", "rich", "onnx", "onnxruntime", "ai_edge_litert", "flatbuffers"})


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["biuld"], ["no such command 'biuld'", "did you mean 'build'?"]),
        (["xyzzy"], ["no such command 'xyzzy'", "`edgekit --help` lists them"]),
        (["targets", "--jsn"], ["no such option '--jsn'", "where: edgekit targets", "did you mean '--json'?"]),
        (["build", "m:f", "--targt", "x"], ["no such option '--targt'", "did you mean '--target'?"]),
        (["build", "m:f", "--io", "int4"], ["'int4' is not one of", "where: edgekit build"]),
        (["build", "m:f", "--batch", "0"], ["0 is not in the range", "`edgekit build --help`"]),
        (["build", "m:f", "extra"], ["extra"]),
    ],
)
def test_a_wrong_command_line_is_a_three_part_error_with_code_2(
    arguments: list[str], parts: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    for part in [*parts, "\n  where: ", "\n  try:   "]:
        assert part in captured.err


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `edgekit targets` fail with this error."""

    def fail(**_: Any) -> None:
        raise error

    command = root.get_command(click.Context(root), "targets")
    assert command is not None
    monkeypatch.setattr(command, "callback", fail)


def test_a_user_error_ends_with_its_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EDGEKIT_DEBUG", raising=False)
    raising(Unsupported("no such op", where="model.1", hint="another"), monkeypatch)
    assert main(["targets"]) == 4
    assert capsys.readouterr().err == "error: no such op\n  where: model.1\n  try:   another\n"


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(KeyboardInterrupt(), monkeypatch)
    assert main(["targets"]) == 130


def test_a_bug_ends_with_1_and_names_the_last_frame(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EDGEKIT_DEBUG", raising=False)
    raising(KeyError("oops"), monkeypatch)
    assert main(["targets"]) == 1
    text = capsys.readouterr().err
    assert "this is a bug in edgekit: KeyError: 'oops'" in text
    assert "test_cli.py:" in text
    assert "Traceback" not in text


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EDGEKIT_DEBUG", "1")
    raising(KeyError("oops"), monkeypatch)
    assert main(["targets"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "extra"), [("torch", "build"), ("tensorflow.keras", "tensorflow"), ("tflite_micro", "micro")]
)
def test_a_missing_package_names_the_extra(
    package: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(ModuleNotFoundError(f"No module named {package!r}", name=package), monkeypatch)
    assert main(["targets"]) == 2
    assert f'pip install "edgekit[{extra}]"' in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m edgekit targets --json | head -c 1"
    answer = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert answer.returncode in (0, 141)  # 0 where everything fitted into the pipe before head left
    assert answer.stderr == ""


@pytest.mark.parametrize("command", ["targets --json", "ops", "--help"])
def test_a_reader_that_is_gone_from_the_start_is_no_error(command: str) -> None:
    shell = f"{sys.executable} -m edgekit {command} | sleep 0; exit ${{PIPESTATUS[0]}}"
    answer = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert answer.returncode in (0, 141) and answer.stderr == ""


@pytest.mark.parametrize("command", ["targets", "ops"])
def test_standard_files_that_are_closed_are_as_if_empty(command: str) -> None:
    shell = f"{sys.executable} -m edgekit {command} <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", shell]).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["targets", "ops"])
def test_output_that_finds_no_room_is_told_in_three_parts(command: str) -> None:
    shell = f"{sys.executable} -m edgekit {command} > /dev/full"
    answer = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: cannot print the result: No space left on device\n  where: standard output\n  try:")


def test_an_error_before_any_target_is_one_document_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "m:f", "--target", "tflite-int9", "--json"]) == 2
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert (document["schema"], document["exit_code"], document["reports"]) == ("edgekit.summary/1", 2, [])
    assert document["errors"][0]["what"] == "unknown target 'tflite-int9'" and "did you mean" in document["errors"][0]["try"]
    assert "unknown target" in told.err


def test_targets_lists_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == 0
    listed = capsys.readouterr().out
    assert main(["targets", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [target["name"] for target in document["targets"]] == list(target_names())
    assert all(name in listed for name in target_names())
    assert document["schema"] == "edgekit.targets/1"


def test_init_writes_once_and_again_only_by_force(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    (here / "edgekit.toml").write_text("# mine")
    assert main(["init"]) == 2
    assert (here / "edgekit.toml").read_text() == "# mine"
    assert main(["init", "--force"]) == 0
    assert "targets = " in (here / "edgekit.toml").read_text()


def test_init_where_nothing_can_be_written_is_an_output_error(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "edgekit.toml").mkdir()
    assert main(["init", "--force"]) == 2
    assert "cannot write edgekit.toml" in capsys.readouterr().err


def test_doctor_says_what_a_missing_program_disables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert main(["doctor"]) == 0
    assert "adb                    missing; without it: edgekit bench --on adb" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {entry["name"]: entry["found"] for entry in document["findings"]}
    assert (found["numpy"], found["adb"]) == (True, False)


def test_build_on_the_command_line_makes_a_request(here: Path) -> None:
    made = request(
        "net:build", "--weights", "w.pt", "--input-shape", "image=1,3,8,8", "--target", "tflite-int8", "--target", "onnx-fp32",
        "--device", "wear-w5", "--output", "out", "--calibration", "c.npz", "--evaluate", "net:score", "--mean", "0.5,0.4,0.3",
        "--std", "0.2", "--scale", "255", "--io", "uint8", "--io-layout", "source", "--batch", "2", "--name", "n",
        "--labels", "l.txt",
        "--json", "--strict", "--force", "--dump", "d", "--depfile", "f.d", "--baseline", "old.json", "--max-growth", "1%",
    )  # fmt: skip
    image = made.inputs["image"]
    assert (image.shape, image.mean, image.std, image.scale) == ((1, 3, 8, 8), (0.5, 0.4, 0.3), (0.2,), 255.0)
    assert made == BuildRequest(
        model="net:build", root=here, targets=("tflite-int8", "onnx-fp32"), output=here / "out", weights=here / "w.pt",
        name="n", device="wear-w5", calibration=str(here / "c.npz"), evaluate="net:score", labels=here / "l.txt", batch=2,
        io="uint8", io_layout="source", inputs=made.inputs, baseline=here / "old.json", max_growth=0.01, json=True, strict=True,
        force=True, dump=here / "d", depfile=here / "f.d",
    )  # fmt: skip


def test_options_go_before_the_config(here: Path) -> None:
    (here / "edgekit.toml").write_text(
        'model = "net:build"\ntargets = ["tflite-int8"]\ncalibration = "a.npz"\n'
        "[input.x]\nshape = [1, 8]\nmean = 0.5\nstd = 2.0\n"
    )
    below = here / "app"
    below.mkdir()
    os.chdir(below)
    made = request("--target", "onnx-fp32", "--calibration", "b.npz", "--mean", "0.25")
    assert made.targets == ("onnx-fp32",)
    assert made.calibration == str(below / "b.npz")
    assert made.output == here / "edgekit-out"
    assert (made.inputs["x"].mean, made.inputs["x"].std, made.inputs["x"].shape) == ((0.25,), (2.0,), (1, 8))


def test_shapes_without_a_name_are_for_the_inputs_in_their_order(here: Path) -> None:
    made = request("m:f", "--target", "x", "--input-shape", "1,6", "--input-shape", "b=1,3", "--input-shape", "1,4:int64")
    assert {name: (given.shape, given.dtype) for name, given in made.inputs.items()} == {
        "": ((1, 6), None), "b": ((1, 3), None), "#2": ((1, 4), "int64"),
    }  # fmt: skip


def test_a_shape_without_a_name_is_for_the_only_input_that_the_config_names(here: Path) -> None:
    (here / "edgekit.toml").write_text('model = "m:f"\ntargets = ["tflite-fp32"]\n[input.x]\nscale = 2\n')
    assert request("--input-shape", "1,6").inputs["x"].shape == (1, 6)
    with pytest.raises(UsageError, match="which input is '1,6' for") as caught:
        request("--input-shape", "1,6", "--input-shape", "1,4")
    assert "known: x" in str(caught.value.hint)


def test_a_model_on_the_command_line_leaves_the_config_unread_and_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "edgekit.toml").write_text("this is not TOML")
    assert request("net.onnx", "--target", "onnx-fp32").model == str(here / "net.onnx")
    assert "is not read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "no MODEL given, and no edgekit.toml"),
        (["m:f"], "no target given"),
        (["m:f", "--target", "x", "--mean", "a,b"], "cannot read the numbers 'a,b'"),
        (["m:f", "--target", "x", "--std", "0"], "'std' must be above 0"),
        (["m:f", "--target", "x", "--input-shape", "1,3,8,8:float31"], "unknown type 'float31'"),
        (["m:f", "--target", "x", "--input-shape", "0,3"], "'shape' is a list of positive sizes"),
        (["m:f", "--target", "x", "--name", "a/b"], "'name' is that of a file"),
        (["m:f", "--target", "x", "--name", ""], "'name' is that of a file"),
        (["m:f", "--target", "x", "--max-growth", "2%"], "--max-growth without --baseline"),
        (["m:f", "--target", "x", "--baseline", "b", "--max-growth", "x"], "'x' is not a share"),
        (["m:f", "--target", "x", "--input-shape", "a=1,2", "--input-shape", "b=1,2", "--mean", "1"], "which input is meant?"),
    ],
)
def test_a_build_that_cannot_be_understood_is_refused(arguments: list[str], what: str, here: Path) -> None:
    with pytest.raises(UsageError) as caught:
        request(*arguments)
    assert what in caught.value.what


def test_a_config_with_a_typo_names_the_nearest_key(here: Path) -> None:
    (here / "edgekit.toml").write_text('model = "net:build"\ntargts = ["tflite-int8"]\n')
    with pytest.raises(ConfigError, match="unknown key 'targts'") as caught:
        request()
    assert caught.value.hint == "did you mean 'targets'?"
