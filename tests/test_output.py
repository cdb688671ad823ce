"""Output is written whole or not at all, survives kill -9 and waits for other builds."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit import output
from edgekit.errors import OutputError

SCRIPT = """
import sys, time, pathlib
from edgekit import output
out = pathlib.Path(sys.argv[1])
with output.exclusive(out):
    with output.whole_folder(out, "t") as folder:
        (folder / "net.bin").write_bytes(b"half")
        {action}
"""


def fill(folder: Path, text: str) -> None:
    with output.exclusive(folder), output.whole_folder(folder, "t") as new:
        (new / "net.bin").write_text(text)


def state_of(folder: Path) -> set[str]:
    """What is in edgekit's own folder beside its fixed files."""
    return {path.name for path in (folder / output.STATE_FOLDER).iterdir()} - {"lock", ".gitignore"}


def started(folder: Path, action: str) -> subprocess.Popen[str]:
    """Another process that is inside the block when this returns."""
    script = SCRIPT.replace("{action}", action)
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    fill(out, "one")
    (out / "t" / "stray").touch()
    fill(out, "two")
    assert [path.name for path in (out / "t").iterdir()] == ["net.bin"]
    assert (out / "t" / "net.bin").read_text() == "two"
    assert state_of(out) == set()


def test_a_failure_inside_leaves_the_old_folder(tmp_path: Path) -> None:
    fill(tmp_path, "one")
    with pytest.raises(KeyError), output.exclusive(tmp_path), output.whole_folder(tmp_path, "t") as new:
        (new / "net.bin").write_text("two")
        raise KeyError
    assert (tmp_path / "t" / "net.bin").read_text() == "one"
    assert state_of(tmp_path) == set()


def test_a_killed_build_leaves_the_old_folder_and_is_tidied_up_by_the_next(tmp_path: Path) -> None:
    fill(tmp_path, "one")
    with started(tmp_path, 'print("inside", flush=True); time.sleep(60)') as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert (tmp_path / "t" / "net.bin").read_text() == "one"
    assert state_of(tmp_path) == {"new-t"}
    with output.exclusive(tmp_path):
        assert state_of(tmp_path) == set()
    assert (tmp_path / "t" / "net.bin").read_text() == "one"


def test_a_build_killed_between_the_two_renames_gets_its_old_folder_back(tmp_path: Path) -> None:
    fill(tmp_path, "one")
    action = """
        def last_rename(self, target):
            if self.name == "new-t":
                print("inside", flush=True); time.sleep(60)
            return rename(self, target)
        rename, pathlib.Path.rename = pathlib.Path.rename, last_rename
    """
    with started(tmp_path, action.strip()) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert not (tmp_path / "t").exists()
    with output.exclusive(tmp_path):
        assert (tmp_path / "t" / "net.bin").read_text() == "one"
        assert state_of(tmp_path) == set()


def test_a_second_build_waits_and_says_for_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PATIENCE", 0.2)
    said: list[str] = []
    with started(tmp_path, 'print("inside", flush=True); time.sleep(1)') as process:
        begin = time.monotonic()
        with output.exclusive(tmp_path, say=said.append):
            assert time.monotonic() - begin > 0.3
            assert (tmp_path / "t" / "net.bin").read_text() == "half"
        process.wait(10)
    assert len(said) == 1
    assert f"pid {process.pid}" in said[0]


def test_the_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        with output.exclusive(tmp_path, say=said.append):
            pass
    assert said == []


@pytest.mark.parametrize(
    ("code", "what"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "cannot write here"), (errno.EACCES, "cannot write here")],
)
def test_a_disk_that_refuses_is_an_output_error_and_nothing_is_written(tmp_path: Path, code: int, what: str) -> None:
    fill(tmp_path, "one")
    with pytest.raises(OutputError, match=what) as caught, output.exclusive(tmp_path), output.whole_folder(tmp_path, "t"):
        raise OSError(code, os.strerror(code))
    assert (caught.value.exit_code, caught.value.where) == (2, str(tmp_path))
    assert (tmp_path / "t" / "net.bin").read_text() == "one"
    assert state_of(tmp_path) == set()


def test_a_really_full_disk_is_an_output_error(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("only Linux has /dev/full")
    with pytest.raises(OutputError, match="the disk is full"), output.exclusive(tmp_path), output.whole_folder(tmp_path, "t"):
        full.write_bytes(b"x" * 10)
    assert not (tmp_path / "t").exists()


def test_a_file_in_the_way_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="is in the way"), output.exclusive(tmp_path / "out"):
        pass


@pytest.mark.parametrize("folder", ["/proc/edgekit", "x" * 300])
def test_a_folder_that_cannot_be_is_an_output_error(tmp_path: Path, folder: str) -> None:
    with pytest.raises(OutputError, match=r"cannot (make this folder|write here)"), output.exclusive(tmp_path / folder):
        pass


def test_other_failures_are_not_dressed_up(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), output.exclusive(tmp_path), output.whole_folder(tmp_path, "t"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", ".edgekit"])
def test_only_a_plain_name_is_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a plain name"), output.whole_folder(tmp_path, name):
        pass


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    output.write_whole(path, "one")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output.os, "fsync", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        output.write_whole(path, b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert path.read_text() == "one"
