"""Depfiles, read back by the tools that they are for: Make, and CMake with whatever generator is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from edgekit.fingerprint import write_depfile

ODD = ["plain.py", "with space.npz", "dollar$x.pt", "hash#1.txt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = (tmp_path / "a folder").resolve()
    place.mkdir()
    for name in ODD:
        (place / name).touch()
        os.utime(place / name, (time.time() - 60,) * 2)
    return place


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("name", ODD)
def test_make_builds_again_after_any_input_changed_or_was_deleted(folder: Path, name: str) -> None:
    write_depfile(folder / "net.d", [folder / "net.out"], [folder / source for source in ODD])
    target = str(folder / "net.out").replace(" ", "\\ ")
    (folder / "Makefile").write_text(f"all: {target}\n{target}:\n\ttouch '$@'\n\techo built\ninclude net.d\n")

    def make() -> str:
        return subprocess.run(["make", "-s", "all"], cwd=folder, capture_output=True, text=True, check=True).stdout

    assert make() == "built\n"
    assert make() == ""
    os.utime(folder / name, (time.time() + 5,) * 2)
    assert make() == "built\n"
    (folder / name).unlink()
    assert make() == "built\n"


CMAKE = """
cmake_minimum_required(VERSION 3.20)
project(app NONE)
add_custom_command(
  OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/net.out"
  COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/build.sh" "${CMAKE_CURRENT_BINARY_DIR}"
  DEPFILE "${CMAKE_CURRENT_BINARY_DIR}/net.d")
add_custom_target(model ALL DEPENDS "${CMAKE_CURRENT_BINARY_DIR}/net.out")
"""


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_builds_again_after_an_input_changed(folder: Path) -> None:
    work = folder / "work"
    work.mkdir()
    write_depfile(folder / "net.d", [work / "net.out"], [folder / source for source in ODD])
    (folder / "CMakeLists.txt").write_text(CMAKE)
    script = folder / "build.sh"
    script.write_text('#!/bin/sh\necho ran >> "$1/count"\ncp "$(dirname "$0")/net.d" "$1/net.d"\ntouch "$1/net.out"\n')
    script.chmod(0o755)
    subprocess.run(["cmake", "-S", folder, "-B", work], check=True, capture_output=True)

    def runs() -> int:
        subprocess.run(["cmake", "--build", work], check=True, capture_output=True)
        return len((work / "count").read_text().splitlines())

    assert [runs(), runs()] == [1, 1]
    os.utime(folder / "with space.npz", (time.time() + 5,) * 2)
    assert runs() == 2


def test_a_path_that_the_syntax_cannot_express_is_left_out(tmp_path: Path) -> None:
    write_depfile(tmp_path / "x.d", [tmp_path / "out"], [tmp_path / "good", tmp_path / "bad\nname"])
    assert "name" not in (tmp_path / "x.d").read_text()
