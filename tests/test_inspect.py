"""``edgekit inspect`` on every kind of model, and without torch for files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgekit.cli import main
from edgekit.export.onnx.convert import export as to_onnx
from edgekit.export.tflite.exporter import export as to_tflite
from tests.ir import networks

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    graph = networks.inverted_residuals()
    graph.save(tmp_path / "net.ekg")
    (tmp_path / "net.tflite").write_bytes(to_tflite(graph))
    (tmp_path / "net.onnx").write_bytes(to_onnx(graph))
    return tmp_path


@pytest.mark.parametrize(("suffix", "kind"), [("ekg", "conv2d"), ("tflite", "CONV_2D"), ("onnx", "Conv")])
def test_every_form_of_a_model_is_shown(suffix: str, kind: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawing = files / "net.svg"
    assert main(["inspect", str(files / f"net.{suffix}"), "--svg", str(drawing)]) == 0
    out = capsys.readouterr().out
    assert kind in out and "MACs" in out and "parameters" in out and "\x1b" not in out
    assert "1.9 M MACs" in out
    boxes = [r for r in ElementTree.fromstring(drawing.read_text()).iter(f"{SVG}rect") if r.get("class") == "b"]
    assert len(boxes) >= 27 + 3

    assert main(["inspect", str(files / f"net.{suffix}"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "edgekit.inspect/1" and document["operators"][kind] >= 7
    assert document["macs"] == networks.inverted_residuals().macs


def test_a_callable_is_shown_with_its_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny_inspected.py").write_text(
        "import torch\n\n\ndef build():\n    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "tiny_inspected:build", "--input-shape", "1,4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [op["kind"] for op in document["ops"]] == ["linear", "relu"]
    assert document["ops"][0]["shapes"] == [["N", 3]] and document["macs"] == 12


def test_files_are_inspected_without_torch_or_a_runtime(files: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'ai_edge_litert', 'onnxruntime'): sys.modules[name] = None\n"
        "from edgekit.cli import main\n"
        f"sys.exit(main(['inspect', {str(files / 'net.tflite')!r}, '--svg', {str(files / 'a.svg')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "CONV_2D" in done.stdout and (files / "a.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["inspect", "absent.tflite"], 2, "absent.tflite"),
        (["inspect", "broken.tflite"], 2, "not a TensorFlow Lite file"),
        (["inspect", "net.tflite", "--svg", "no/such/folder.svg"], 2, "can't be written"),
    ],
)
def test_errors_have_their_code(
    arguments: list[str],
    code: int,
    message: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files)
    (files / "broken.tflite").write_bytes(b"nothing")
    assert main(arguments) == code
    assert message in capsys.readouterr().err
