"""The digits example, its demo and the app builds around it, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.digits.demo import verifiable_targets

REPOSITORY = Path(__file__).resolve().parents[2]
EDGEKIT = Path(sys.executable).with_name("edgekit")


@pytest.fixture(scope="module", autouse=True)
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands run a copy of edgekit: its own sources are inputs of a build, and somebody may edit them while the tests run."""
    copy = tmp_path_factory.mktemp("frozen")
    for folder in ("edgekit", "targets"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "setup.cfg", copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(copy))
        yield


def run(*command: str | Path, cwd: Path, code: int = 0, **variables: str) -> str:
    """What a command prints, after checking its exit code."""
    path = f"{EDGEKIT.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "EDGEKIT": str(EDGEKIT), "NO_COLOR": "1", "COLUMNS": "120", **variables}
    arguments = [str(part) for part in command]
    answer = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400)
    assert answer.returncode == code, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a copied example in which the demo has run, and what it printed."""
    root = tmp_path_factory.mktemp("user")
    ignored = shutil.ignore_patterns("generated", "edgekit-out", "__pycache__")
    shutil.copytree(REPOSITORY / "examples", root / "examples", ignore=ignored)
    return root / "examples" / "digits", run(sys.executable, "-m", "examples.digits.demo", cwd=root)


@pytest.fixture
def digits(demo: tuple[Path, str], tmp_path: Path) -> Path:
    """The folder of the example, trained, with nothing built yet."""
    ignored = shutil.ignore_patterns("edgekit-out", "__pycache__")
    shutil.copytree(demo[0].parent, tmp_path / "examples", ignore=ignored)
    return tmp_path / "examples" / "digits"


def test_the_demo_builds_every_target_that_can_be_verified_here(demo: tuple[Path, str]) -> None:
    folder, text = demo
    table = text.rpartition("target ")[2].splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in table[1:] if "%" in line}
    assert list(rows) == verifiable_targets()
    assert all(float(cells[0].rstrip("%")) > 96 for cells in rows.values())
    sizes = {name: int(cells[1].replace(",", "")) for name, cells in rows.items()}
    assert sizes["tflite-int8"] < sizes["tflite-fp16"] < sizes["tflite-fp32"]
    for name in rows:
        assert json.loads((folder / "edgekit-out" / name / "report.json").read_text())["status"] == "good"


def test_an_unchanged_build_is_a_no_op_that_imports_no_torch(digits: Path) -> None:
    script = "import sys; from edgekit.cli import main; code = main(['build']); print(code, 'torch' in sys.modules)"
    assert run(sys.executable, "-c", script, cwd=digits).splitlines()[-1] == "0 True"
    artifact = digits / "edgekit-out" / "tflite-int8" / "digits.tflite"
    first = (artifact.read_bytes(), artifact.stat().st_mtime_ns)
    assert run(sys.executable, "-c", script, cwd=digits).splitlines()[-1] == "0 False"
    assert (artifact.read_bytes(), artifact.stat().st_mtime_ns) == first
    with (digits / "net.py").open("a") as source:
        source.write("\n# another comment\n")
    assert run(sys.executable, "-c", script, cwd=digits).splitlines()[-1] == "0 True"
    assert artifact.read_bytes() == first[0]


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@pytest.mark.parametrize("generator", [pytest.param("Unix Makefiles", marks=pytest.mark.slow), "Ninja"])
def test_cmake_builds_the_model_once_and_again_after_a_change(digits: Path, generator: str) -> None:
    if generator == "Ninja" and shutil.which("ninja") is None:
        pytest.skip("ninja is not installed")
    source, work = digits.parent / "app_builds" / "cmake", digits.parent / f"work {generator}"
    run("cmake", "-S", source, "-B", work, "-G", generator, cwd=digits)
    model = work / "model" / "tflite-int8" / "digits.tflite"
    built = []
    for change in (None, None, digits / "generated" / "calibration.npz", None):
        if change is not None:
            os.utime(change)  # for Make a change, for edgekit none: the content is the same
        text = run("cmake", "--build", work, cwd=digits)
        built.append("Generating" in text)
    assert built == [True, False, True, False]
    assert model.stat().st_size > 10_000


def test_xcodes_script_phase_puts_the_model_into_the_bundle(digits: Path) -> None:
    places = {"SRCROOT": str(digits.parent), "DERIVED_FILE_DIR": str(digits.parent / "derived")}
    bundle = {"TARGET_BUILD_DIR": str(digits.parent / "products"), "UNLOCALIZED_RESOURCES_FOLDER_PATH": "Digits.app"}
    for _ in range(2):
        run("sh", digits.parent / "app_builds" / "xcode" / "build-model.sh", cwd=digits, **places, **bundle)
    assert (digits.parent / "products" / "Digits.app" / "digits.tflite").stat().st_size > 10_000


def test_the_ci_job_passes_against_its_own_report_and_fails_when_the_model_has_grown(
    demo: tuple[Path, str], digits: Path
) -> None:
    script = digits.parent / "app_builds" / "ci" / "check-model.sh"
    (digits / "baseline").mkdir()
    report = demo[0] / "edgekit-out" / "tflite-int8" / "report.json"
    shutil.copy(report, digits / "baseline" / "report.json")
    run("sh", script, digits, cwd=digits.parent)
    smaller = json.loads(report.read_text())
    smaller["artifact"]["bytes"] = int(smaller["artifact"]["bytes"] * 0.9)
    (digits / "baseline" / "report.json").write_text(json.dumps(smaller))
    run("sh", script, digits, cwd=digits.parent, code=3)


def test_gradles_task_names_the_command_as_it_is() -> None:
    """Gradle itself is not run here; its one command line is."""
    text = (REPOSITORY / "examples" / "app_builds" / "gradle" / "model.gradle.kts").read_text()
    (line,) = (line for line in text.splitlines() if "commandLine(" in line)
    words = [word.strip().strip('"') for word in line.partition("commandLine(")[2].rpartition(")")[0].split(",")]
    assert words[:5] == ["edgekit", "build", "--target", "tflite-int8", "--output"]
    assert text.count("{") == text.count("}")
