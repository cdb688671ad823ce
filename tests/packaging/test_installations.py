"""A wheel, an editable install and a bare checkout all have the command, the package data and the targets.

No download: the new environments see the packages of the one that runs the tests through a .pth file, behind their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BASE = ("click", "rich", "numpy", "numpy.libs", "flatbuffers", "pygments", "markdown_it", "mdurl")
SHIPPED = sorted(path.stem for path in (REPOSITORY / "targets").glob("*.toml"))


def command(*arguments: str | Path, cwd: Path) -> str:
    """What a command prints, run outside the checkout and without its environment variables."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_REQUIRE"))}
    answer = subprocess.run(
        [str(part) for part in arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked and new files of the repository, without what builds have left in it."""
    folder = tmp_path_factory.mktemp("checkout") / "edgekit"
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", "build", "dist", "*.egg-info", ".*_cache", "edgekit-out")
    shutil.copytree(REPOSITORY, folder, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, checkout, cwd=folder)
    (path,) = folder.glob("edgekit-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel in it."""
    home = tmp_path_factory.mktemp("installed") / "env"
    python = environment(home)
    # -I: what runs is the new environment's edgekit, not one that the test's current folder or variables offer.
    command(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=home)
    return home


def environment(folder: Path) -> Path:
    """A new virtual environment's Python; packages of ours come last on its path, edgekit itself not among them."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    purelib = Path(command(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (purelib / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def check(python: Path, run: list[str | Path], cwd: Path, home: Path) -> None:
    """The command works, comes from where it should, and knows every target and device."""
    document = json.loads(command(*run, "targets", "--json", cwd=cwd))
    assert [target["name"] for target in document["targets"]] == SHIPPED
    assert len(document["devices"]) == len(list((REPOSITORY / "targets" / "devices").glob("*.toml")))
    where = command(python, "-c", "import edgekit, sys; print(edgekit.__file__)", cwd=cwd)
    assert Path(where.strip()).is_relative_to(home), where


def test_a_wheel_has_everything_and_no_foreign_top_level(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"edgekit"}
    assert {f"edgekit/targets/{name}.toml" for name in SHIPPED} <= set(names)
    assert any(name.endswith("/LICENSE") for name in names)
    tracked = subprocess.run(
        ["git", "ls-files", "edgekit"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    assert [name for name in tracked if name not in names and (REPOSITORY / name).is_file()] == []


def test_a_wheel_installs_and_runs(installed: Path, tmp_path: Path) -> None:
    check(installed / "bin" / "python", [installed / "bin" / "edgekit"], tmp_path, installed)


def test_an_editable_install_runs_from_the_checkout(checkout: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    python = environment(home)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    command(*pip, "--no-deps", "--no-build-isolation", "--no-index", "-e", checkout, cwd=tmp_path)
    check(python, [home / "bin" / "edgekit"], tmp_path, checkout)


def test_a_bare_checkout_runs_uninstalled(checkout: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    check(python, [python, "-m", "edgekit"], checkout, checkout)


@pytest.fixture
def bare(installed: Path) -> Iterator[Path]:
    """The same environment with click, rich, numpy and flatbuffers alone."""
    python = installed / "bin" / "python"
    purelib = Path(command(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=installed).strip())
    others = (purelib / "others.pth").rename(purelib / "others.away")
    sources = [Path(sysconfig.get_path("purelib")) / name for name in BASE]
    links = [purelib / source.name for source in sources if source.exists()]
    for link in links:
        link.symlink_to(Path(sysconfig.get_path("purelib")) / link.name)
    yield installed
    for link in links:
        link.unlink()
    others.rename(purelib / "others.pth")


def test_the_base_install_needs_neither_torch_nor_a_runtime(bare: Path, tmp_path: Path) -> None:
    """What needs more is refused with the extra to install."""
    edgekit = bare / "bin" / "edgekit"
    assert "tflite-int8" in command(edgekit, "targets", cwd=tmp_path)
    assert "missing; without it: edgekit build" in command(edgekit, "doctor", cwd=tmp_path)
    command(edgekit, "init", cwd=tmp_path)
    (tmp_path / "net.py").write_text("def build():\n    import torch\n    return torch.nn.Linear(2, 2)\n")
    refused = subprocess.run(
        [edgekit, "build", "net:build", "--target", "tflite-fp32"], cwd=tmp_path, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert "'torch', which is not installed" in refused.stderr
