"""Sees which files and folders the user's callables read: an audit hook for what Python opens, lists and imports.

Python offers no way to take an audit hook away again, so one is installed at first use and idles outside a watch. It sees
what Python itself opens, also in processes forked from this one. It does not see what a native library opens by itself (except
safetensors, whose reader is wrapped here) nor what another program reads: such a file must be named to edgekit (``--weights``,
``--calibration``) or be opened by Python code.

Paths are plain strings in here: the hook runs at every file that Python opens.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import site
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

#: State of a path when it was first seen: (size, time of last change in ns).
Stat = tuple[int, int]

#: Parts of the standard library that list every folder of sys.path.
_IMPORTERS = (os.path.dirname(importlib.util.__file__) + os.sep, pkgutil.__file__)

_LISTINGS = {"os.listdir", "os.scandir"}
_NOT_FILES = ("/proc/", "/sys/", "/dev/")
_WRITES = os.O_WRONLY | os.O_RDWR

_active: FileWatch | None = None
_installed = False


class FileWatch:
    """Collects, while :meth:`watching`, the files read and the folders listed.

    Attributes:
        files: path of each file read -> its state at that moment.
        folders: path of each folder listed.
        complete: False where something could not be noted, so that a build cannot be recognised as unchanged.
    """

    def __init__(self) -> None:
        self.files: dict[str, Stat] = {}
        self.folders: set[str] = set()
        self.complete = True
        self._written: set[str] = set()
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._spool: IO[bytes] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this process, and processes forked from it (a DataLoader's workers), until the block ends."""
        global _active
        if _active is not None:
            raise RuntimeError("one watch at a time")
        _install()
        # Forked workers inherit this file and with it one position in it: what they write comes one behind the other.
        with tempfile.TemporaryFile(buffering=0) as self._spool:
            _active = self
            try:
                yield
            finally:
                _active = None
                self._read_spool()
                self._spool = None
                self.note_modules()

    def note_file(self, path: str, *, named: bool = False) -> None:
        """A file is read now; ``named``: by the user to edgekit, so that it counts wherever it is."""
        if os.getpid() != self._process:
            self._append(f"f{path}")
            return
        path = absolute(path)
        if not named and (path in self._written or is_installed(path)):
            return
        if path.endswith(".pyc"):
            path = _source_of(path)
        if path in self.files:
            return
        try:
            state = os.stat(path)
        except OSError:
            return  # not there: the read that follows fails, and the caller lives with that or ends the build
        if not os.path.isdir(path):
            with self._lock:
                self.files[path] = (state.st_size, state.st_mtime_ns)

    def note_write(self, path: str) -> None:
        """A file is written now: it is no input, even if it is read again later."""
        if os.getpid() == self._process:
            path = absolute(path)
            if path not in self.files:
                self._written.add(path)

    def note_folder(self, path: str) -> None:
        """A folder's names are read now."""
        if os.getpid() != self._process:
            self._append(f"d{path}")
            return
        path = absolute(path)
        if not is_installed(path):
            self.folders.add(path)

    def _append(self, line: str) -> None:
        if self._spool is not None and "\n" not in line:
            os.write(self._spool.fileno(), f"{line}\n".encode(errors="surrogateescape"))

    def _read_spool(self) -> None:
        if self._spool is None:
            return
        self._spool.seek(0)
        for line in self._spool.read().decode(errors="surrogateescape").splitlines():
            note = self.note_file if line.startswith("f") else self.note_folder
            note(line[1:])

    def note_modules(self) -> None:
        """Every imported module that is not installed counts: the user's own and, in a checkout, edgekit's."""
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str):
                self.note_file(path)


def absolute(path: str | os.PathLike[str]) -> str:
    """The form in which paths are compared: absolute, without ``..``, symbolic links kept."""
    return os.path.abspath(path)


@cache
def _installation() -> tuple[str, ...]:
    """Folders of the Python installation: what is in them is known by its version."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    # The standard library of a virtual environment is that of the interpreter that it was made from.
    paths.append(os.path.dirname(os.__file__))
    found = {form for path in paths if path for form in (os.path.abspath(path), os.path.realpath(path))}
    return tuple(sorted(path + os.sep for path in found))


def is_installed(path: str) -> bool:
    """True for what belongs to the Python installation, and for the system's pseudo files."""
    return f"{path}{os.sep}".startswith(_installation()) or path.startswith(_NOT_FILES)


def _source_of(path: str) -> str:
    """The source of a compiled module; that is what a change is made in."""
    try:
        return importlib.util.source_from_cache(path)
    except (NotImplementedError, ValueError):
        return path  # a module without source


def _install() -> None:
    global _installed
    if not _installed:
        _installed = True
        _installation()  # now, not in the hook: it imports, and an import inside an import's own hook finds it half done
        sys.addaudithook(_hook)
        _wrap_safetensors()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Called by Python for every audited event in the process; quick, and an error in here must not become the user's."""
    watch = _active
    if watch is not None:
        try:
            _note(watch, event, arguments)
        except Exception:
            watch.complete = False


def _note(watch: FileWatch, event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes | os.PathLike):
            note = watch.note_write if isinstance(flags, int) and flags & _WRITES else watch.note_file
            note(os.fsdecode(path))
    elif event in _LISTINGS and not _by_importlib():
        path = arguments[0] if arguments and arguments[0] is not None else "."
        if isinstance(path, str | bytes | os.PathLike):
            watch.note_folder(os.fsdecode(path))


def _by_importlib() -> bool:
    """True where Python itself looks for modules or distributions in a folder of sys.path; imports are seen by other means."""
    caller = sys._getframe(3).f_code.co_filename
    return caller.startswith("<frozen importlib") or caller.startswith(_IMPORTERS)


def _wrap_safetensors() -> None:
    """Let the watch see files that safetensors reads; its reader is native and opens them by itself."""
    try:
        import safetensors
    except ModuleNotFoundError:
        return
    original = safetensors.safe_open

    def safe_open(filename: Any, *arguments: Any, **options: Any) -> Any:
        if _active is not None:
            _active.note_file(os.fspath(filename))
        return original(filename, *arguments, **options)

    for name in ("safetensors", "safetensors.torch", "safetensors.numpy"):
        module = sys.modules.get(name)
        if module is not None and getattr(module, "safe_open", None) is original:
            module.safe_open = safe_open  # type: ignore[attr-defined]
