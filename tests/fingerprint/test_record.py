"""An unchanged build is recognised; whatever changes, it is built again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import edgekit
from edgekit.config import BuildRequest, InputSettings
from edgekit.fingerprint import BuildRecord, is_up_to_date, record, touch_outputs, watch

OLD = time.time() - 3600


class Project:
    """A user's folder with a model, weights, data and a target of their own, and a build of it that took place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = root / "edgekit-out"
        for name in ("net.py", "extra.txt", "weights.pt", "data.npz", "labels.txt", "edgekit.toml"):
            self.write(name, f"content of {name}")
        (root / "images").mkdir()
        shipped = record.Target.load("tflite-int8").path.read_text()
        self.write("mine.toml", shipped)
        self.request = BuildRequest(
            model="net:build", root=root, targets=("tflite-int8", str(root / "mine.toml")), output=self.output,
            weights=root / "weights.pt", calibration=str(root / "data.npz"), labels=root / "labels.txt",
            inputs={"x": InputSettings(mean=0.5)}, config_file=root / "edgekit.toml",
        )  # fmt: skip
        self.artifact = self.output / "mine" / "net.tflite"
        self.build()

    def write(self, name: str, text: str) -> None:
        """Write a file as if that had been an hour ago."""
        (self.root / name).write_text(text)
        os.utime(self.root / name, (OLD, OLD))

    def build(self) -> None:
        made = BuildRecord(self.request)
        with made.watching():
            (self.root / "net.py").read_text()
            (self.root / "extra.txt").read_text()
            sorted((self.root / "images").iterdir())
        self.artifact.parent.mkdir(parents=True, exist_ok=True)
        self.artifact.write_bytes(b"artifact")
        os.utime(self.artifact, (OLD, OLD))
        made.write([self.artifact])

    @property
    def current(self) -> bool:
        return is_up_to_date(self.output, self.request)

    def state(self) -> Path:
        (path,) = (self.output / ".edgekit").glob("build-*.json")
        return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project, with edgekit and its tests as good as installed: their sources may be edited while the tests run."""
    installed = (*watch._installation(), f"{Path(edgekit.__file__).parents[1]}{os.sep}")
    monkeypatch.setattr(watch, "_installation", lambda: installed)
    return Project(tmp_path.resolve())


def test_nothing_changed_is_up_to_date(project: Project) -> None:
    assert project.current
    assert project.current


CHANGES: dict[str, Callable[[Project], object]] = {
    "a file that the callable opened": lambda p: (p.root / "extra.txt").write_text("other content"),
    "its content at the same size": lambda p: (p.root / "extra.txt").write_text("CONTENT of extra.txt"),
    "the model's source": lambda p: (p.root / "net.py").write_text("other"),
    "the weights": lambda p: (p.root / "weights.pt").write_text("other"),
    "weights deleted": lambda p: (p.root / "weights.pt").unlink(),
    "the data": lambda p: (p.root / "data.npz").write_text("other"),
    "the labels": lambda p: (p.root / "labels.txt").write_text("other"),
    "the config": lambda p: (p.root / "edgekit.toml").write_text("other"),
    "the target file": lambda p: p.write("mine.toml", (p.root / "mine.toml").read_text() + "# changed"),
    "a broken target file": lambda p: (p.root / "mine.toml").write_text("no TOML"),
    "a new image in a folder": lambda p: (p.root / "images" / "new.png").touch(),
    "a folder deleted": lambda p: (p.root / "images").rmdir(),
    "the artifact edited": lambda p: p.artifact.write_bytes(b"ARTIFACT"),
    "the artifact deleted": lambda p: p.artifact.unlink(),
    "the record damaged": lambda p: p.state().write_text("{"),
    "the record of another kind": lambda p: p.state().write_text("[]"),
    "the record of another schema": lambda p: p.state().write_text(p.state().read_text().replace("state/2", "state/0")),
    "the record deleted": lambda p: p.state().unlink(),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_means_a_new_build(project: Project, change: str) -> None:
    assert project.current
    CHANGES[change](project)
    assert not project.current


@pytest.mark.parametrize(
    "request_change",
    [
        {"targets": ("tflite-int8",)},
        {"io": "uint8"},
        {"inputs": {"x": InputSettings(mean=0.25)}},
        {"recipe": ({"step": "prune"},)},
        {"strict": True},
        {"force": True},
        {"dump": Path("/tmp/dump")},
        {"depfile": Path("/tmp/some.d")},
    ],
)
def test_another_request_means_a_new_build(project: Project, request_change: dict[str, object]) -> None:
    assert not is_up_to_date(project.output, replace(project.request, **request_change))  # type: ignore[arg-type]


def test_what_is_printed_does_not_matter(project: Project) -> None:
    assert is_up_to_date(project.output, replace(project.request, json=True))


def test_another_version_means_a_new_build(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record.importlib.metadata, "version", lambda _: "99")
    assert not project.current


def test_only_new_times_are_no_change_and_are_remembered(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("extra.txt", "weights.pt"):
        os.utime(project.root / name, (OLD + 60, OLD + 60))
    assert project.current
    hashed: list[Path] = []
    monkeypatch.setattr(record, "_sha256", lambda path: hashed.append(path) or "")
    assert project.current
    assert hashed == []


def test_a_file_that_changed_during_the_build_is_never_up_to_date(project: Project) -> None:
    made = BuildRecord(project.request)
    with made.watching():
        (project.root / "extra.txt").read_text()
        sorted((project.root / "images").iterdir())
    (project.root / "extra.txt").write_text("changed after it was read")
    made.write([project.artifact])
    assert not project.current


def test_a_build_whose_inputs_are_not_all_known_is_not_recorded(project: Project) -> None:
    project.state().unlink()
    made = BuildRecord(project.request)
    made._watch.complete = False
    made.write([project.artifact])
    assert not project.current


def test_two_requests_live_side_by_side_unless_they_write_the_same_file(project: Project) -> None:
    first, artifact = project.request, project.artifact
    project.request, project.artifact = replace(first, targets=("onnx-fp32",)), project.output / "onnx-fp32" / "net.onnx"
    project.build()
    assert project.current
    assert is_up_to_date(project.output, first)
    project.request, project.artifact = replace(first, io="uint8"), artifact
    project.build()
    assert project.current
    assert not is_up_to_date(project.output, first)


def test_the_record_knows_nothing_of_the_installation_and_of_its_own_output(project: Project) -> None:
    document = json.loads(project.state().read_text())
    assert [path for path in document["inputs"] if "site-packages" in path or "edgekit-out" in path] == []
    assert {"edgekit", "python", "numpy"} <= set(document["versions"])


def test_in_a_checkout_edgekits_own_sources_count(tmp_path: Path) -> None:
    request = BuildRequest(model="net:build", root=tmp_path, targets=(), output=tmp_path / "out")
    made = BuildRecord(request)
    with made.watching():
        pass
    assert Path(record.__file__) in made.inputs()


def test_a_model_folder_counts_with_every_file(project: Project) -> None:
    saved = project.root / "saved"
    (saved / "variables").mkdir(parents=True)
    project.write("saved/saved_model.pb", "graph")
    project.request = replace(project.request, model=str(saved))
    project.build()
    assert project.current
    project.write("saved/variables/more", "new")
    assert not project.current


def test_the_question_is_answered_quickly_and_imports_nothing_heavy(project: Project) -> None:
    for index in range(200):
        project.write(f"images/{index}.png", "x" * 1000)
    made = BuildRecord(project.request)
    with made.watching():
        for path in sorted((project.root / "images").iterdir()):
            path.read_bytes()
    made.write([project.artifact])
    script = f"""
import sys
from pathlib import Path
from edgekit.config import BuildRequest, InputSettings
calls = 0
def counted(frame, event, argument):
    global calls
    calls += event in ('call', 'c_call')
sys.setprofile(counted)
from edgekit.fingerprint import is_up_to_date
root = Path({str(project.root)!r})
request = BuildRequest(
    model="net:build", root=root, targets=("tflite-int8", str(root / "mine.toml")), output=root / "edgekit-out",
    weights=root / "weights.pt", calibration=str(root / "data.npz"), labels=root / "labels.txt",
    inputs={{"x": InputSettings(mean=0.5)}}, config_file=root / "edgekit.toml",
)
assert is_up_to_date(request.output, request)
sys.setprofile(None)
print(calls)
print([name for name in ("torch", "numpy", "rich", "onnx") if name in sys.modules])
"""
    calls, heavy = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert heavy == "[]"
    assert int(calls) < 130_000


def test_the_depfile_of_a_build_that_is_up_to_date_comes_back(project: Project) -> None:
    project.request = replace(project.request, depfile=project.root / "net.d")
    project.build()
    text = (project.root / "net.d").read_text()
    assert text.startswith(f"{project.artifact}: ") and str(project.root / "extra.txt") in text
    (project.root / "net.d").unlink()  # as Ninja does when it has read it
    assert project.current
    touch_outputs(project.output, project.request)
    assert (project.root / "net.d").read_text() == text


def test_touching_makes_the_outputs_newer_and_keeps_them_current(project: Project) -> None:
    before = project.artifact.stat().st_mtime
    assert touch_outputs(project.output, project.request) == [project.artifact]
    assert project.artifact.stat().st_mtime > before
    assert project.current
