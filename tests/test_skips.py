"""In CI a test that skips for want of a program fails; one that wants the real data may skip."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = """
import pytest

def test_missing_program():
    pytest.skip("qemu-aarch64 is not installed")

@pytest.mark.skipif(True, reason="needs cmake")
def test_missing_program_by_mark():
    pass

def test_missing_package():
    pytest.importorskip("no_such_package_at_all", reason="could not import 'no_such_package_at_all': missing")

def test_real_data(real_data):
    pass

@pytest.mark.skipif(True, reason="workers are forked on Linux only")
def test_other_platform():
    pass

@pytest.mark.xfail(reason="a known flaw, missing", strict=True)
def test_expected_failure():
    assert False
"""

WHOLE_FILE = """
import pytest

pytest.importorskip("no_such_package_at_all", reason="no-such-package is not installed")
"""


def outcomes(folder: Path, no_skip: str) -> dict[str, int]:
    """Number of tests per outcome."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder / "conftest.py")
    (folder / "test_cases.py").write_text(CASES)
    (folder / "test_whole_file.py").write_text(WHOLE_FILE)
    environment = {**os.environ, "EDGEKIT_NO_SKIP": no_skip, "EDGEKIT_DATA": "/nonexistent"}
    arguments = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        "--rootdir",
        str(folder),
        str(folder),
    ]
    answer = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True)
    assert "s of the 480 s that the default tests may take" in answer.stdout
    last = answer.stdout.strip().splitlines()[-1]
    return {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped|xfailed|error)", last)}


@pytest.mark.parametrize(
    ("no_skip", "expected"),
    [("1", {"failed": 2, "error": 2, "skipped": 2, "xfailed": 1}), ("", {"skipped": 6, "xfailed": 1})],
)
def test_a_skip_for_want_of_a_program_is_a_failure_in_ci(tmp_path: Path, no_skip: str, expected: dict[str, int]) -> None:
    assert outcomes(tmp_path, no_skip) == expected
