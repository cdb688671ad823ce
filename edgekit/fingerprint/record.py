"""The record of a build: its request, the versions, and the content of every file that went in and came out."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.config import BuildRequest, is_reference
from edgekit.errors import EdgekitError
from edgekit.fingerprint.watch import FileWatch, Stat, absolute
from edgekit.output import STATE_FOLDER, write_whole
from edgekit.target import Device, Target

SCHEMA = "edgekit.state/2"

#: Distributions whose version may change an artifact or its verification.
DISTRIBUTIONS = (
    "torch", "numpy", "onnx", "onnxruntime", "ai-edge-litert", "flatbuffers", "safetensors", "protobuf",
    "tflite-micro", "tensorflow", "tensorflow-cpu", "accelerate",
)  # fmt: skip

#: Options that change what is printed, not what is built.
_NOT_CONTENT = ("json", "force")

#: A file that changed so shortly before it was recorded may change again within one tick of the file system's clock, unseen by
#: size and time: it is compared by content the first time.
_TICK_NS = 2_000_000_000

_NEVER = "changed while it was read"

Entry = dict[str, Any]


class BuildRecord:
    """Notes during one build what it depends on, and writes the record when it has succeeded::

    record = BuildRecord(request)          # before any input is read
    with record.watching():
        module = ...                       # the user's callables run in here
    ...
    record.write([artifact, report])       # only for a build that ended with exit code 0
    """

    def __init__(self, request: BuildRequest) -> None:
        self.request = request
        self._watch = FileWatch()
        for path in declared_files(request):
            self._watch.note_file(str(path), named=True)

    def watching(self) -> AbstractContextManager[None]:
        """The block in which files that are read, imported or listed count as inputs."""
        return self._watch.watching()

    def inputs(self) -> list[Path]:
        """Files seen so far that still exist and that this build did not write, sorted."""
        own = [self.request.output, *(path for path in (self.request.dump, self.request.depfile) if path is not None)]
        files = (Path(path) for path in self._watch.files)
        return sorted(path for path in files if path.is_file() and not any(path.is_relative_to(folder) for folder in own))

    def write(self, outputs: Iterable[Path], *, main: Path | None = None) -> None:
        """Record the build in ``OUTPUT/.edgekit``, and write the depfile where one was asked for.

        Where the watch could not note everything there is no record, so that the next build is not taken for unchanged.

        Args:
            outputs: every file that the build wrote.
            main: the one that the depfile is about, by default the first: Ninja refuses a depfile that names an output which
                the build file does not.

        Raises:
            OutputError: the disk is full or read-only.
        """
        self._watch.note_modules()
        outputs, inputs = list(outputs), self.inputs()
        main = main or outputs[0]
        _write_depfile(self.request, main, inputs)
        if not self._watch.complete:
            return
        folders = sorted(path for path in map(Path, self._watch.folders) if path.is_dir())
        document = {
            "schema": SCHEMA,
            "request": _plain(self.request),
            "versions": versions(),
            "inputs": {str(path): _entry(path, self._watch.files[str(path)]) for path in inputs},
            "folders": {str(path): _listing(path, self.request.output) for path in folders},
            "outputs": {str(path): _entry(path, _stat(path)) for path in sorted(outputs)},
            "main": str(main),
        }
        state = _state_path(self.request.output, self.request)
        state.parent.mkdir(parents=True, exist_ok=True)
        _forget_others(state, set(document["outputs"]))
        write_whole(state, json.dumps(document, indent=1))


def is_up_to_date(output: Path, request: BuildRequest) -> bool:
    """True where the request was built into this folder, nothing it depended on has changed since, and its files are there.

    Imports neither torch nor numpy nor a runtime. A build that dumps graphs is never up to date.
    """
    if request.dump is not None or request.force:
        return False
    state = _state_path(output, request)
    document = _read(state)
    if document is None or document["request"] != _plain(request) or document["versions"] != versions():
        return False
    try:
        declared = {absolute(path) for path in declared_files(request) if path.is_file()}
    except EdgekitError:
        return False  # a target file that is wrong now: the build says so
    own = str(output)
    if any(path not in document["inputs"] for path in declared if not path.startswith(own + os.sep)):
        return False
    if any(_listing(Path(path), output) != names for path, names in document["folders"].items()):
        return False
    entries = {**document["inputs"], **document["outputs"]}
    refreshed = [_same(Path(path), entry) for path, entry in entries.items()]
    if not all(same for same, _ in refreshed):
        return False
    if any(touched for _, touched in refreshed):
        # Only the times had changed (a fresh checkout): next time they are enough. A record that cannot be written is no harm.
        with contextlib.suppress(OSError, EdgekitError):
            write_whole(state, json.dumps(document, indent=1))
    return True


def touch_outputs(output: Path, request: BuildRequest) -> list[Path]:
    """Make the recorded outputs newer than their inputs, as Make and Ninja expect of a command that ran; returns them.

    For an up-to-date build under a build tool (``--depfile``): without it the tool would start edgekit again every time. The
    depfile is written again, because Ninja may have taken it away.
    """
    state = _state_path(output, request)
    document = _read(state)
    if document is None:
        return []
    paths = [Path(path) for path in document["outputs"]]
    for path in paths:
        os.utime(path)
        document["outputs"][str(path)]["mtime_ns"] = path.stat().st_mtime_ns
    _write_depfile(request, Path(document["main"]), map(Path, document["inputs"]))
    write_whole(state, json.dumps(document, indent=1))
    return paths


def _write_depfile(request: BuildRequest, main: Path, inputs: Iterable[Path]) -> None:
    if request.depfile is not None:
        from edgekit.fingerprint.depfile import write_depfile

        write_depfile(request.depfile, [main], inputs)


def declared_files(request: BuildRequest) -> Iterator[Path]:
    """The files that the request itself names: config, model, weights, data, labels, baseline, target and device files."""
    named = (request.config_file, request.weights, request.labels, request.baseline)
    yield from (path for path in named if path is not None)
    for source in (request.model, request.train, request.calibration, request.evaluate):
        if source is not None and not is_reference(source):
            path = Path(source)
            if path.is_dir():  # a SavedModel
                yield from (file for file in sorted(path.rglob("*")) if file.is_file())
            else:
                yield path
    yield from (Target.load(name).path for name in request.targets)
    if request.device is not None:
        yield Device.load(request.device).path


def versions() -> dict[str, str]:
    """Versions of edgekit, of Python and of every distribution that counts, found without importing them."""
    found = {
        "edgekit": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _plain(request: BuildRequest) -> Any:
    """The request as JSON gives it back, without what does not change the artifacts."""
    content = {key: value for key, value in dataclasses.asdict(request).items() if key not in _NOT_CONTENT}
    return json.loads(json.dumps(content, default=str, sort_keys=True))


def _state_path(output: Path, request: BuildRequest) -> Path:
    key = hashlib.sha256(json.dumps(_plain(request), sort_keys=True).encode()).hexdigest()[:16]
    return output / STATE_FOLDER / f"build-{key}.json"


def _read(state: Path) -> dict[str, Any] | None:
    """A record, or None where there is none or it is not ours."""
    try:
        document = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    wanted = {"schema", "request", "versions", "inputs", "folders", "outputs", "main"}
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or not wanted <= document.keys():
        return None
    return document


def _forget_others(state: Path, outputs: set[str]) -> None:
    """Drop records of other requests that wrote the same files: these are theirs no longer."""
    for other in state.parent.glob("build-*.json"):
        document = None if other == state else _read(other)
        if document is not None and outputs & set(document["outputs"]):
            other.unlink(missing_ok=True)


def _stat(path: Path) -> Stat:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def _entry(path: Path, seen: Stat) -> Entry:
    """What is recorded of a file whose size and time were ``seen`` when it was read."""
    size, mtime_ns = seen
    if _stat(path) != seen:
        return {"size": size, "mtime_ns": 0, "sha256": _NEVER}
    if time.time_ns() - mtime_ns < _TICK_NS:
        mtime_ns = 0
    return {"size": size, "mtime_ns": mtime_ns, "sha256": _sha256(path)}


def _same(path: Path, entry: Entry) -> tuple[bool, bool]:
    """Whether the file is what was recorded, and whether its recorded time had to be brought up to date."""
    try:
        size, mtime_ns = _stat(path)
        if size != entry["size"]:
            return False, False
        if mtime_ns == entry["mtime_ns"]:
            return True, False
        if _sha256(path) != entry["sha256"]:
            return False, False
    except OSError:
        return False, False
    if time.time_ns() - mtime_ns < _TICK_NS:
        return True, False
    entry["mtime_ns"] = mtime_ns
    return True, True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listing(folder: Path, output: Path) -> str:
    """The names in a folder as a hash, without those that builds and Python make; ``""`` where it is gone."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.name != "__pycache__" and path != output)
    except OSError:
        return ""
    return hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()
