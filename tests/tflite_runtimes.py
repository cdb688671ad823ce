"""Other runtimes that our files must load and run in: TFLite Micro and tflite-runtime 2.14, each in processes of its own."""

from __future__ import annotations

import fcntl
import os
import pickle
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

#: The oldest runtime that our files promise to run in. Its wheels end at Python 3.11 and need numpy 1.
OLD_RUNTIME = ("tflite-runtime==2.14.0", "numpy<2")

_MICRO = """
import sys, numpy as np
from tflite_micro.python.tflite_micro import runtime
data = np.load(sys.argv[2])
interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[4]))
count = len([key for key in data.files if key.startswith("i")])
calls = len(data["i0"])
results = []
for call in range(calls):
    for index in range(count):
        interpreter.set_input(data[f"i{index}"][call], index)
    interpreter.invoke()
    row = []
    for index in range(64):
        try:
            row.append(interpreter.get_output(index))
        except Exception:
            break
    results.append(row)
np.savez(sys.argv[3], **{f"o{k}": np.stack([row[k] for row in results]) for k in range(len(results[0]))})
"""

_OLD = """
import sys, numpy as np
from tflite_runtime.interpreter import Interpreter
data = np.load(sys.argv[2])
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
results = []
for call in range(len(data["i0"])):
    for index, detail in enumerate(inputs):
        interpreter.set_tensor(detail["index"], data[f"i{index}"][call])
    interpreter.invoke()
    results.append([interpreter.get_tensor(detail["index"]) for detail in outputs])
np.savez(sys.argv[3], **{f"o{k}": np.stack([row[k] for row in results]) for k in range(len(results[0]))})
"""

Array = NDArray[Any]


class RuntimeRefused(Exception):
    """The runtime refused the file or died; the message is what it said."""


def _run(python: Path | str, code: str, model: bytes, calls: Sequence[Sequence[Array]], *arguments: str) -> list[Array]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("model.tflite", "in.npz", "out.npz")]
        paths[0].write_bytes(model)
        stacked: dict[str, Any] = {f"i{k}": np.stack([call[k] for call in calls]) for k in range(len(calls[0]))}
        np.savez(paths[1], **stacked)
        command = [str(python), "-I", "-c", code, *map(str, paths), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, check=False)
        if done.returncode:
            raise RuntimeRefused(f"exit code {done.returncode}: {done.stderr[-2000:]}")
        with np.load(paths[2]) as out:
            return [out[f"o{k}"] for k in range(len(out.files))]


def run_micro(model: bytes, calls: Sequence[Sequence[Array]], arena_size: int = 8 << 20) -> list[Array]:
    """Outputs of TFLite Micro, stacked over the calls; each call is one array per input in the file's shapes and types.

    A process of its own: a file that it misreads can kill it.
    """
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    return _run(sys.executable, _MICRO, model, calls, str(arena_size))


_OLD_MANY = """
import sys, pickle, numpy as np
from tflite_runtime.interpreter import Interpreter
answers = []
for model, calls in pickle.load(open(sys.argv[1], "rb")):
    try:
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        rows = []
        for call in calls:
            for detail, (kind, shape, data) in zip(inputs, call):
                interpreter.set_tensor(detail["index"], np.frombuffer(data, kind).reshape(shape))
            interpreter.invoke()
            results = [interpreter.get_tensor(detail["index"]) for detail in outputs]
            rows.append([(r.dtype.str, r.shape, r.tobytes()) for r in results])
        answers.append(rows)
    except Exception as error:
        answers.append(str(error))
pickle.dump(answers, open(sys.argv[2], "wb"))
"""


def run_many_2_14(jobs: Sequence[tuple[bytes, Sequence[Sequence[Array]]]]) -> list[list[list[Array]] | str]:
    """Many files in one process: for each the outputs of every call, or why the runtime refused it."""
    python = _old_python()
    if python is None:
        pytest.skip("tflite-runtime 2.14 is not installed: it needs Python 3.11 or older on Linux, and pip")
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "question"), Path(folder, "answer")
        plain = [(model, [[(a.dtype.str, a.shape, a.tobytes()) for a in call] for call in calls]) for model, calls in jobs]
        question.write_bytes(pickle.dumps(plain))
        command = [str(python), "-I", "-c", _OLD_MANY, str(question), str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeRefused(f"exit code {done.returncode}: {done.stderr[-2000:]}")
        found: list[list[list[Array]] | str] = pickle.loads(answer.read_bytes())
    return [
        item if isinstance(item, str) else [[np.frombuffer(d, t).reshape(s) for t, s, d in row] for row in item]  # type: ignore[misc]
        for item in found
    ]


def run_2_14(model: bytes, calls: Sequence[Sequence[Array]]) -> list[Array]:
    """Outputs of tflite-runtime 2.14, stacked over the calls. Skips where the runtime cannot be had."""
    python = _old_python()
    if python is None:
        pytest.skip("tflite-runtime 2.14 is not installed: it needs Python 3.11 or older on Linux, and pip")
    return _run(python, _OLD, model, calls)


@cache
def _old_python() -> Path | None:
    """The interpreter of an environment with tflite-runtime 2.14, made on first use under the user's cache folder."""
    if sys.version_info >= (3, 12) or sys.platform != "linux":
        return None
    cache_folder = Path(os.environ.get("EDGEKIT_CACHE") or Path.home() / ".cache" / "edgekit") / "venvs"
    folder = cache_folder / "tflite-2.14"
    python = folder / "bin" / "python"
    cache_folder.mkdir(parents=True, exist_ok=True)
    with (cache_folder / "tflite-2.14.lock").open("w") as lock:  # several test runs may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        probe = [str(python), "-I", "-c", "import tflite_runtime.interpreter"]
        if python.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return python
        try:
            venv.create(folder, with_pip=True, clear=True)
            install = [str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *OLD_RUNTIME]
            subprocess.run(install, check=True, capture_output=True, timeout=300)
        except (OSError, subprocess.SubprocessError):
            return None
    return python
