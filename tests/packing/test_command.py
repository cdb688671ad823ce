"""``edgekit pack`` and ``edgekit unpack``, and the way of an archive into an app."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import edgekit as ek
from edgekit.cli.pack_command import pack
from edgekit.cli.root import main
from edgekit.packing import others
from tests.packing.samples import clustered, float_file

DATA = float_file(clustered(12, 64))
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(DATA)
    return path


def test_there_and_back(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(model)]) == 0
    shown = capsys.readouterr().out
    assert f"net.ekz  {model.with_suffix('.ekz').stat().st_size:,} bytes of {len(DATA):,}" in shown
    assert all(word in shown for word in ("weights", "codebooks", "biases", "structure", "gzip -9", "xz -9e", "zstd -22"))
    model.unlink()
    assert main(["unpack", str(model.with_suffix(".ekz"))]) == 0
    assert model.read_bytes() == DATA
    assert main(["unpack", str(model.with_suffix(".ekz"))]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["unpack", str(model.with_suffix(".ekz")), "--force"]) == 0


def test_json_has_every_byte(model: Path) -> None:
    result = CliRunner().invoke(pack, [str(model), "--json", "--fast", "-o", str(model.with_name("other.ekz"))])
    document = json.loads(result.stdout)
    assert document["schema"] == "edgekit.pack/1"
    assert sum(document["parts"].values()) == document["archive_bytes"] == model.with_name("other.ekz").stat().st_size
    assert document["file_bytes"] == len(DATA) and document["others"]["gzip -9"] > 0


def test_a_damaged_archive_is_code_2_and_writes_nothing(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = model.with_suffix(".ekz")
    ek.pack(model, archive)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 4
    archive.write_bytes(content)
    output = model.with_name("again.tflite")
    assert main(["unpack", str(archive), "-o", str(output)]) == 2
    said = capsys.readouterr().err
    assert "no sound .ekz archive" in said and str(archive) in said and "try:" in said
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["pack", "nowhere.tflite"], 2, "can't be read"),
        (["unpack", "nowhere.ekz"], 2, "can't be read"),
        (["unpack"], 2, "nothing to unpack"),
        (["pack"], 2, "MODEL"),
    ],
)
def test_what_can_not_be_is_said(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    assert said in capsys.readouterr().err


def test_an_empty_file_and_a_folder_that_is_not_there(tmp_path: Path, model: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ek.InputError, match="empty"):
        ek.pack(tmp_path / "empty")
    with pytest.raises(ek.OutputError, match="can't be written"):
        ek.pack(model, tmp_path / "nowhere" / "net.ekz")


def test_a_compressor_that_is_missing_is_said(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "_zstd", lambda data: None)
    assert "not here" in CliRunner().invoke(pack, [str(model)]).stdout


def test_packing_imports_neither_torch_nor_a_runtime() -> None:
    script = (
        "import sys, edgekit as ek; ek.unpack(ek.pack(b'some bytes').data); "
        "print([name for name in ('torch', 'ai_edge_litert', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler is installed")
def test_an_app_unpacks_its_model_when_it_starts(tmp_path: Path, model: Path) -> None:
    source, work = REPOSITORY / "examples" / "app_builds" / "unpack", tmp_path / "build"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command in (["cmake", "-S", str(source), "-B", str(work), f"-DMODEL={model}"], ["cmake", "--build", str(work)]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    again = tmp_path / "again.tflite"
    assert subprocess.run([work / "first_start", work / "model.ekz", again], check=False).returncode == 0
    assert again.read_bytes() == DATA
    (work / "model.ekz").write_bytes(b"EKZ\x01 and no more")
    failed = subprocess.run([work / "first_start", work / "model.ekz", again], capture_output=True, text=True, check=False)
    assert failed.returncode == 1 and "damaged" in failed.stderr
