"""The C decoder under the address and undefined-behaviour sanitizers, as a program that unpacks archive after archive."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import edgekit.packing

SOURCE = Path(edgekit.packing.__file__).parent / "c"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow")
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

_DRIVER = Path(__file__).parent / "unpack_many.c"


def compiler() -> str:
    """The C compiler of this machine; the test is skipped where there is none."""
    found = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    if found is None:
        pytest.skip("no C compiler is installed")
    return found


def built(folder: Path) -> Path:
    """The program; the test is skipped where the compiler has no sanitizers."""
    program = folder / "unpack_many"
    command = [compiler(), *STRICT[:4], *SANITIZERS, f"-I{SOURCE}", str(SOURCE / "ekz.c"), str(_DRIVER), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and re.search(r"cannot find -l|unsupported|not supported", done.stderr):
        pytest.skip("the compiler's sanitizers are not installed")
    assert done.returncode == 0, done.stderr
    return program


def unpacked(program: Path, archives: list[bytes], seconds: float) -> list[tuple[int, bytes]]:
    """Error and content for each; AssertionError where the program crashed or took too long."""
    given = b"".join(struct.pack("<I", len(one)) + one for one in archives)
    done = subprocess.run([program], input=given, capture_output=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    answers, at = [], 0
    while at < len(done.stdout):
        error, size = struct.unpack_from("<BI", done.stdout, at)
        answers.append((error, done.stdout[at + 5 : at + 5 + size]))
        at += 5 + size
    assert len(answers) == len(archives)
    return answers
