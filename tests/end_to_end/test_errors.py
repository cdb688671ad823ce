"""What goes wrong is told in three parts with the right exit code, and nothing is written for the target that failed."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.end_to_end.projects import SMALL, Project

INT8 = ("--calibration", "calibration.npz", "--target", "tflite-int8")


def test_an_unknown_target_names_the_nearest(project: Project) -> None:
    result = project.build(project.model(SMALL), "--target", "tflite-int9")
    what, _, hint = result.parts()
    assert result.code == 2 and what == "unknown target 'tflite-int9'" and "did you mean 'tflite-int8'" in hint
    assert project.written() == []


def test_weights_that_are_not_there(project: Project) -> None:
    result = project.build(project.model(SMALL), "--weights", "nowhere.pt", "--target", "tflite-fp32")
    what, where, _ = result.parts()
    assert result.code == 2 and "cannot read the weights" in what and "nowhere.pt" in where
    assert project.written() == []


def test_weights_of_another_shape_are_listed_by_name(project: Project) -> None:
    project.weights(torch.nn.ModuleDict({"conv": torch.nn.Conv2d(1, 4, 5), "head": torch.nn.Linear(4, 10)}))
    result = project.build(project.model(SMALL), "--weights", "weights.pt", "--target", "tflite-fp32")
    what, where, _ = result.parts()
    assert result.code == 2 and "do not fit the model: 1 of another shape" in what
    assert "conv.weight (model (4, 1, 3, 3), file (4, 1, 5, 5))" in where
    assert project.written() == []


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(project: Project, form: str) -> None:
    trap = project.folder / "sprung"
    content = {"conv.weight": torch.zeros(1), "epoch": _Trap(trap)}
    path = project.folder / "weights.pt"
    if form == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    result = project.build(project.model(SMALL), "--weights", "weights.pt", "--target", "tflite-fp32")
    _, where, _ = result.parts()
    assert result.code == 2 and "weights.pt" in where
    assert not trap.exists() and project.written() == []


def test_a_model_that_raises_while_it_is_made(project: Project) -> None:
    reference = project.model("    def __init__(self):\n        super().__init__()\n        raise ValueError('no such width')")
    result = project.build(reference, "--target", "tflite-fp32")
    what, where, hint = result.parts()
    assert (
        result.code == 2
        and "edgekit --debug" in hint
        and "ValueError: no such width" in what
        and f"{project.module}.py:9, in __init__" in where
    )
    assert project.written() == []


def test_a_model_that_raises_in_forward(project: Project) -> None:
    reference = project.model("    def forward(self, x):\n        return x @ torch.zeros(3, 3)")
    result = project.build(reference, "--target", "tflite-fp32")
    what, where, hint = result.parts()
    assert result.code == 2 and "the model raised RuntimeError" in what
    assert f"{project.module}.py:8, in forward" in where and "--input-shape" in hint
    assert project.written() == []


def test_unsupported_ops_are_all_named_with_module_path_and_line(project: Project) -> None:
    reference = project.model("""
    def __init__(self):
        super().__init__()
        self.spectrum = Spectrum()

    def forward(self, x):
        x = self.spectrum(x)
        return torch.linalg.inv(x)


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x).real
""")
    result = project.build(reference, "--target", "tflite-fp32", "--target", "onnx-fp32")
    what, where, hint = result.parts()
    assert result.code == 4
    assert "fft" in what and "inv" in what
    assert f"spectrum ({project.module}.py:" in where and f"{project.module}.py:14, in forward" in where
    assert "edgekit ops" in hint
    assert project.written() == []


def test_an_exception_out_of_torch_export_is_told_in_the_users_terms(project: Project) -> None:
    reference = project.model("    def forward(self, x):\n        if x.sum() > 0:\n            return x\n        return -x")
    result = project.build(reference, "--target", "tflite-fp32")
    what, where, hint = result.parts()
    assert result.code == 4 and "by the values of a tensor" in what
    assert f"{project.module}.py:8, in forward" in where and "torch.where" in hint
    assert "Traceback" not in result.err and project.written() == []


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((0, 1, 8, 8), np.float32)}, "no samples for input 'x'"),
        ({"x": np.zeros((4, 3, 8, 8), np.float32)}, "has shape (4, 3, 8, 8), the model wants (samples, 1, 8, 8)"),
        ({"x": np.full((4, 1, 8, 8), np.nan, np.float32)}, "has NaN in it"),
        ({"x": np.zeros((4, 1, 8, 8), np.uint8)}, "no preprocessing is declared"),
        ({"a": np.zeros((4, 1, 8, 8)), "b": np.zeros(4)}, "the file has 'a', 'b'"),
    ],
    ids=["empty", "wrong shape", "NaN", "bytes", "no such key"],
)
def test_calibration_data_that_does_not_fit(project: Project, arrays: dict[str, np.ndarray], message: str) -> None:
    project.npz("bad.npz", **arrays)
    result = project.build(project.model(SMALL), "--calibration", "bad.npz", "--target", "tflite-int8")
    what, where, hint = result.parts()
    assert result.code == 2 and message in what and "bad.npz" in where and hint
    assert project.written() == []


def test_integer_targets_without_calibration_data_refuse_and_others_are_built(project: Project) -> None:
    result = project.build(project.model(SMALL), "--target", "tflite-int8", "--target", "tflite-fp32")
    assert result.code == 2
    what, _, hint = result.parts()
    assert "tflite-int8: " in what and "needs calibration data" in what and "--calibration" in hint and "tflite-dynamic" in hint
    assert project.artifact("tflite-fp32").is_file()
    assert not (project.folder / "edgekit-out" / "tflite-int8").exists()
    summary = json.loads((project.folder / "edgekit-out" / "summary.json").read_text())
    assert summary["exit_code"] == 2 and [e["target"] for e in summary["errors"]] == ["tflite-int8"]


@pytest.mark.parametrize("source", ["nowhere.npz", "{module}:missing", "notes.txt"])
def test_calibration_data_that_is_not_there(project: Project, source: str) -> None:
    project.write("no data", "notes.txt")
    result = project.build(
        project.model(SMALL), "--calibration", source.format(module=project.module), "--target", "tflite-int8"
    )
    assert result.code == 2 and all(result.parts())
    assert project.written() == []


def test_a_calibration_function_that_raises(project: Project) -> None:
    reference = project.model(SMALL)
    with (project.folder / f"{project.module}.py").open("a") as file:
        file.write("\n\ndef data():\n    raise OSError('disk gone')\n")
    result = project.build(reference, "--calibration", f"{project.module}:data", "--target", "tflite-int8")
    what, where, hint = result.parts()
    assert result.code == 2 and "raised OSError: disk gone" in what and f"{project.module}.py:" in where and hint
    assert project.written() == []


def test_a_file_where_the_output_folder_should_be(project: Project) -> None:
    project.write("", "taken")
    result = project.build(project.model(SMALL), "--target", "tflite-fp32", "--output", "taken")
    what, where, hint = result.parts()
    assert result.code == 2 and "in the way" in what and where.endswith("taken") and hint == "another --output"


def test_a_read_only_output_folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root nothing is read-only, so the operating system's answer is put in its mouth."""
    import errno

    real = Path.mkdir

    def mkdir(self: Path, *arguments: object, **options: object) -> None:
        if "edgekit-out" in self.parts:
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        real(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    result = project.build(project.model(SMALL), "--target", "tflite-fp32")
    what, where, hint = result.parts()
    assert result.code == 2 and "cannot write here: Read-only file system" in what
    assert where.endswith("edgekit-out") and hint == "another --output"


def test_a_full_disk_leaves_the_former_artifact(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, "--target", "tflite-fp32").code == 0
    before = project.artifact("tflite-fp32").read_bytes()
    prelude = (  # no file may be larger than 1 kB: the write fails in the middle, as on a full disk
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
    )
    result = project.process("build", reference, "--target", "tflite-fp32", "--name", "other", "--force", prelude=prelude)
    what, _, hint = result.parts()
    assert result.code == 2 and "the disk is full" in what and "free some space" in hint
    assert project.artifact("tflite-fp32").read_bytes() == before
    assert not list((project.folder / "edgekit-out" / ".edgekit").glob("new-*"))


def test_a_build_that_is_killed_in_the_middle_leaves_the_former_artifact_and_the_next_one_works(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *INT8).code == 0
    before = project.artifact("tflite-int8").read_bytes()
    project.write(
        f"import pathlib, time\nimport {project.module}\n\n\ndef data():\n"
        "    pathlib.Path('started').touch()\n    time.sleep(600)\n",
        "slow_data.py",
    )
    command = [
        sys.executable,
        "-m",
        "edgekit",
        "build",
        reference,
        "--calibration",
        "slow_data:data",
        "--target",
        "tflite-int8",
    ]
    with subprocess.Popen(command, cwd=project.folder, env=project.environment) as process:
        deadline = time.monotonic() + 120
        while not (project.folder / "started").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert project.artifact("tflite-int8").read_bytes() == before
    again = project.build(reference, *INT8, "--force")
    assert again.code == 0 and project.artifact("tflite-int8").read_bytes() == before


def test_an_interrupted_build_ends_with_130_and_writes_nothing(project: Project) -> None:
    reference = project.model(SMALL)
    with (project.folder / f"{project.module}.py").open("a") as file:
        file.write("\n\ndef data():\n    raise KeyboardInterrupt\n")
    result = project.build(reference, "--calibration", f"{project.module}:data", "--target", "tflite-int8")
    assert result.code == 130 and project.written() == []


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"], ids=["empty", "text", "cut off"])
def test_a_corrupt_program_file(project: Project, content: bytes) -> None:
    (project.folder / "net.pt2").write_bytes(content)
    result = project.build("net.pt2", "--target", "tflite-fp32")
    what, where, hint = result.parts()
    assert result.code == 2 and "net.pt2" in what and "net.pt2" in where and "torch.export.save" in hint
    assert project.written() == []


def test_a_program_file_that_was_cut_short(project: Project) -> None:
    program = torch.export.export(torch.nn.Linear(3, 2), (torch.randn(2, 3),))
    torch.export.save(program, project.folder / "net.pt2")
    whole = (project.folder / "net.pt2").read_bytes()
    (project.folder / "net.pt2").write_bytes(whole[: len(whole) // 2])
    result = project.build("net.pt2", "--target", "tflite-fp32")
    assert result.code == 2 and all(result.parts())


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("calibraton = 'x.npz'", "unknown key 'calibraton'", "did you mean 'calibration'?"),
        ("[quantization]\nobserver = 'minmax'", "observer", "min_max"),
        ("[input.x]\nmaen = [0.5]", "unknown key 'maen'", "did you mean 'mean'?"),
    ],
)
def test_a_typo_in_the_configuration_names_the_nearest(project: Project, line: str, what: str, hint: str) -> None:
    project.write(f"model = '{project.model(SMALL)}'\ntargets = ['tflite-fp32']\n{line}\n", "edgekit.toml")
    result = project.build()
    told, where, tried = result.parts()
    assert result.code == 2 and what in told and "edgekit.toml" in where and hint in tried
    assert project.written() == []


def test_of_two_targets_the_one_that_can_is_written(project: Project) -> None:
    reference = project.model("""
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.act = nn.GELU()

    def forward(self, x):
        return self.act(self.first(x))
""")
    result = project.build(reference, "--calibration", "calibration.npz", "--target", "tflm-int8", "--target", "tflite-int8")
    what, where, hint = result.parts()
    assert result.code == 4 and what.startswith("tflm-int8: ") and "'gelu'" in what
    assert f"act ({project.module}.py:" in where and "tflite-int8" in hint
    assert not (project.folder / "edgekit-out" / "tflm-int8").exists()
    assert project.artifact("tflite-int8").is_file() and project.report("tflite-int8")["target"] == "tflite-int8"


@pytest.mark.parametrize("order", [("tflm-int8", "tflite-int8"), ("tflite-int8", "tflm-int8")])
def test_the_first_code_in_the_order_of_all_failures_counts(project: Project, order: tuple[str, str]) -> None:
    """tflm-int8 can't (4), tflite-int8 lies below a floor (5): 4 stands first, in whatever order they are asked for."""
    floor = project.folder / "tflite-int8.toml"
    text = (Path(__file__).resolve().parents[2] / "targets" / "tflite-int8.toml").read_text()
    floor.write_text("\n".join("min_sqnr_db = 90" if line.startswith("min_sqnr_db") else line for line in text.splitlines()))
    reference = project.model("    def forward(self, x):\n        return F.gelu(x * 2.5)")
    names = [str(floor) if name == "tflite-int8" else name for name in order]
    result = project.build(reference, "--calibration", "calibration.npz", *[a for n in names for a in ("--target", n)])
    assert result.code == 4
    summary = json.loads((project.folder / "edgekit-out" / "summary.json").read_text())
    assert summary["exit_code"] == 4 and sorted(e["exit_code"] for e in summary["errors"]) == [4, 5]
    assert project.written() == ["summary.json", "tflite-int8/report.html", "tflite-int8/report.json"]


@pytest.mark.parametrize(("target", "advice"), [("tflite-int8", "calibration data"), ("tflite-fp32", "finer weights")])
def test_below_the_floor_of_parity_the_advice_fits_the_target(project: Project, target: str, advice: str) -> None:
    floor = project.folder / f"{target}.toml"
    text = (Path(__file__).resolve().parents[2] / "targets" / f"{target}.toml").read_text()
    floor.write_text("\n".join("min_sqnr_db = 400" if line.startswith("min_sqnr_db") else line for line in text.splitlines()))
    result = project.build(project.model(SMALL), "--calibration", "calibration.npz", "--target", str(floor))
    what, _, hint = result.parts()
    assert result.code == 5 and "too far from the source" in what and advice in hint and "report.html" in hint


def test_a_bug_in_one_target_leaves_the_others(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.stages import artifact

    real = artifact.export

    def export(graph: object, target: object, *rest: object, **named: object) -> bytes:
        if getattr(target, "name", "") == "onnx-fp32":
            raise ZeroDivisionError("oh")
        return real(graph, target, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(artifact, "export", export)
    result = project.build(project.model(SMALL), "--target", "onnx-fp32", "--target", "tflite-fp32")
    assert result.code == 1 and "this is a bug in edgekit: ZeroDivisionError: oh" in result.err
    assert project.artifact("tflite-fp32").is_file() and not (project.folder / "edgekit-out" / "onnx-fp32").exists()


@pytest.mark.parametrize("data", [(), ("--evaluate", "labelled.npz")], ids=["random inputs", "given inputs"])
def test_a_model_that_gives_nan_is_not_compared(project: Project, data: tuple[str, ...]) -> None:
    project.npz("labelled.npz", x=np.ones((6, 1, 8, 8), np.float32), y=np.zeros(6, np.int64))
    reference = project.model(
        SMALL.replace(
            "self.head = nn.Linear(4, 10)",
            "self.head = nn.Linear(4, 10)\n        nn.init.constant_(self.head.bias, float('nan'))",
        )
    )
    result = project.build(reference, *data, "--target", "tflite-fp32", "--target", "onnx-fp32")
    assert result.code == 2 and result.err.count("the model itself gives NaN for") == 2 and "torch.isnan" in result.err
    assert project.written() == ["summary.json"]


def test_a_model_that_is_undefined_for_some_random_inputs_is_built(project: Project) -> None:
    reference = project.model("    def forward(self, x):\n        return torch.sqrt(x.mean((2, 3)))")
    result = project.build(reference, "--target", "onnx-fp32", "--target", "tflite-fp32")
    assert result.code == 0, result.err
    assert 0 < project.report("onnx-fp32")["verification"][0]["samples"] < 16


@pytest.mark.parametrize("place", ["import", "call"])
def test_a_program_that_ends_itself_is_an_error_of_the_user(project: Project, place: str) -> None:
    ending = "    raise SystemExit(3)\n"
    text = "import sys\n\n\ndef build():\n" + ending if place == "call" else "import sys\n\nif True:\n" + ending
    (project.folder / f"{project.module}.py").write_text(text)
    result = project.build(f"{project.module}:build", "--target", "tflite-fp32")
    what, where, _ = result.parts()
    assert result.code == 2 and "raised SystemExit: 3" in what and f"{project.module}.py:" in where


def test_what_the_users_code_prints_is_no_part_of_the_document(project: Project) -> None:
    reference = project.model(SMALL)
    with (project.folder / f"{project.module}.py").open("a") as file:
        file.write("\n\nprint('imported')\n")
    result = project.build(reference, "--target", "tflite-fp32", "--json")
    assert json.loads(result.out)["exit_code"] == 0 and "imported" in result.err
    del sys.modules[project.module]
    looked = project.edgekit("inspect", reference, "--json")
    assert json.loads(looked.out) and "imported" in looked.err


def test_what_was_done_to_the_weights_is_said(project: Project) -> None:
    reference = project.model(SMALL)
    module = torch.nn.ModuleDict({"conv": torch.nn.Conv2d(1, 4, 3), "head": torch.nn.Linear(4, 10)})
    state = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save({"state_dict": state}, project.folder / "weights.pt")
    result = project.build(reference, "--weights", "weights.pt", "--target", "tflite-fp32", "--target", "onnx-fp32")
    assert result.code == 0 and result.err.count("note: weights: taken from 'state_dict' in 'weights.pt'") == 1
    assert "note: weights: prefix 'module.' removed from every name" in result.err
