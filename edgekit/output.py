"""The output folder: each part of it is written whole or not at all, by one build at a time.

``OUTPUT/.edgekit/`` is edgekit's own: the lock, the records of :mod:`edgekit.fingerprint`, and folders that are being
written (``new-NAME``) or replaced (``old-NAME``). A build that is killed leaves those two behind; the next one that gets the
lock puts an ``old-NAME`` back where the new one did not arrive, and removes the rest.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import OutputError

STATE_FOLDER = ".edgekit"

#: Seconds after which a build that waits for another says so.
PATIENCE = 2.0

_NEW, _OLD = "new-", "old-"
_PART = ".edgekit-part"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP}
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


@contextmanager
def exclusive(output: Path, *, say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Create the output folder where it is missing and hold its lock: other builds into it wait until the block ends.

    What a killed build left behind is tidied up first.

    Args:
        output: the folder that the build writes into.
        say: called with one line when the wait is long or the file system has no locks; by default that goes to stderr, the
            former only on a terminal.

    Raises:
        OutputError: the folder cannot be created or written.
    """
    with writing(output):
        state = output / STATE_FOLDER
        try:
            state.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # a link to nowhere, or a file system without folders of one's own
            raise OutputError(f"cannot make this folder: {error.strerror}", where=output, hint="another --output") from error
        ignore = state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        file = (state / "lock").open("a+", encoding="utf-8")
    with file:
        _wait_for(file.fileno(), output, say)
        try:
            with writing(output):
                file.truncate(0)
                file.write(f"pid {os.getpid()}: {' '.join(sys.argv)}\n")
                file.flush()
                _tidy(output)
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)
            fcntl.flock(file, fcntl.LOCK_UN)  # said outright: a forked worker may still hold the file open


@contextmanager
def whole_folder(output: Path, name: str) -> Iterator[Path]:
    """A new folder to write into; when the block ends well it becomes ``output / name`` in the place of what was there.

    When the block raises, or the process is killed, what was there stays (after a kill: it is put back by the next build).
    To be used inside :func:`exclusive`.

    Raises:
        OutputError: the disk is full or read-only.
    """
    if not name or name != Path(name).name or name.startswith("."):
        raise ValueError(f"{name!r} is not a plain name of a folder")
    new, old, final = (output / STATE_FOLDER / f"{_NEW}{name}", output / STATE_FOLDER / f"{_OLD}{name}", output / name)
    try:
        with writing(output):
            new.mkdir()
            yield new
            _sync_tree(new)
            # A folder cannot replace another in one step. Between these two the folder is away; _tidy() knows.
            if os.path.lexists(final):
                final.rename(old)
            new.rename(final)
            _sync(output)
    finally:
        _remove(new)
        if os.path.lexists(final):
            _remove(old)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file so that any reader sees the old content or the new, never a part; OutputError where that is impossible."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    with writing(path.parent):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into an OutputError that says which folder and what to try."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise OutputError("the disk is full", where=folder, hint="free some space, or another --output") from error
        if error.errno in _REFUSED:
            raise OutputError(f"cannot write here: {error.strerror}", where=folder, hint="another --output") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            raise OutputError(
                f"'{error.filename}' is in the way: {error.strerror}", where=folder, hint="another --output"
            ) from error
        raise


def _wait_for(descriptor: int, output: Path, say: Callable[[str], None] | None) -> None:
    """Take the lock; after a while tell who holds it."""
    tell_at = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno in _NO_LOCKS:
                (say or _to_stderr)(f"warning: {output} is on a file system without locks; do not build into it twice at once")
                return
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        if time.monotonic() >= tell_at:
            tell_at = float("inf")
            if say is not None or sys.stderr.isatty():
                holder = (output / STATE_FOLDER / "lock").read_text(encoding="utf-8", errors="replace").strip()
                (say or _to_stderr)(f"waiting for another build into {output} ({holder or 'unknown'})")
        time.sleep(0.05)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def _tidy(output: Path) -> None:
    """Put back what a killed build had moved away and not replaced; remove what it had not finished."""
    state = output / STATE_FOLDER
    for old in state.glob(f"{_OLD}*"):
        final = output / old.name.removeprefix(_OLD)
        if os.path.lexists(final):
            _remove(old)
        else:
            old.rename(final)
    for unfinished in [*state.glob(f"{_NEW}*"), *output.glob(f".*{_PART}"), *state.glob(f".*{_PART}")]:
        _remove(unfinished)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _sync_tree(folder: Path) -> None:
    """Everything in the folder is on the disk before it gets its name."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
