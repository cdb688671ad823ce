"""A door to Larq Compute Engine's interpreter, which needs an environment of its own (numpy below 2): a process at a pipe."""

from __future__ import annotations

import json
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, UsageError
from edgekit.formats.io_metadata import FileTensor
from edgekit.formats.tflite.model import NUMPY_OF, Model
from edgekit.formats.tflite.read import read
from edgekit.runtime.batched import LOOK, Batched
from edgekit.runtime.larq_environment import INSTALL, require_python

Array = NDArray[Any]

#: Kernels of LceBconv2d: what apps get unless they ask otherwise, the indirect product, plain loops; and the first two with
#: XNNPACK for the builtin operators.
LarqKernels = Literal["optimized", "indirect", "reference", "xnnpack", "indirect_xnnpack"]


def is_larq(model: Model) -> bool:
    """Whether a file has operators of Larq Compute Engine."""
    return any(op.custom_code.startswith("Lce") for subgraph in model.subgraphs for op in subgraph.operators)


class LarqProcess:
    """The interpreter's process: files are loaded into it, run and timed."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            UsageError: no environment has larq-compute-engine.
        """
        program = self._program = require_python()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [program, "-E", str(Path(__file__).with_name("larq_runner.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)
        self._finalizer = weakref.finalize(self, _end, self._process, self._log)
        self.version = ""

    def load(self, content: bytes, kernels: LarqKernels = "optimized", *, where: object | None = None) -> int:
        """Load a file; its number in the process. InputError where the interpreter refuses it."""
        answer, _ = self._ask({"do": "load", "size": len(content), "kernels": kernels}, [content], where)
        self.version = str(answer["version"])
        return int(answer["id"])

    def run(self, file: int, arrays: Sequence[Array], *, where: object | None = None) -> list[Array]:
        """One call with arrays of the file's shapes and types."""
        about = [[array.dtype.name, list(array.shape)] for array in arrays]
        data = [np.ascontiguousarray(array).tobytes() for array in arrays]
        answer, sink = self._ask({"do": "run", "id": file, "arrays": about}, data, where)
        return [_array(sink, dtype, shape) for dtype, shape in answer["arrays"]]

    def time(self, files: Sequence[int], rounds: int, *, seed: int = 0) -> list[list[float]]:
        """Seconds of each call by file; every round calls each file once. Inputs are random."""
        answer, _ = self._ask({"do": "time", "ids": list(files), "rounds": rounds, "seed": seed}, [], None)
        return [[float(s) for s in row] for row in answer["seconds"]]

    def close(self) -> None:
        """End the process."""
        self._finalizer()

    def _ask(self, message: dict[str, Any], data: Sequence[bytes], where: object | None) -> tuple[dict[str, Any], IO[bytes]]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            for part in (json.dumps(message).encode() + b"\n", *data):
                self._process.stdin.write(part)
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            told = f"its process ended with {self._process.wait()}: {self._printed()}".rstrip(": ")
            if "ImportError" in told or "ModuleNotFoundError" in told:
                raise UsageError(
                    "Larq Compute Engine cannot be imported", where=self._program, hint=f"{told.splitlines()[-1]}; {INSTALL}"
                )
            raise InputError(f"Larq Compute Engine failed: {told}", where=where, hint=LOOK)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise InputError(
                f"Larq Compute Engine failed: {answer['error']} {self._printed()}".rstrip(), where=where, hint=LOOK
            )
        return answer, self._process.stdout

    def _printed(self) -> str:
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace").strip()[-2000:]


class Larq(Batched):
    """A .tflite file, loaded in the engine's interpreter and ready to run."""

    def __init__(self, content: bytes, kernels: LarqKernels = "optimized", *, where: object | None = None) -> None:
        """Load a file.

        Args:
            content: its bytes.
            kernels: of LceBconv2d.
            where: what to name in an error.

        Raises:
            UsageError: no environment has larq-compute-engine.
            InputError: the interpreter refuses the file.
        """
        self.where = where
        model = read(content, where=where)
        self.inputs, self.outputs = _described(model, "inputs"), _described(model, "outputs")
        self._process = LarqProcess()
        self._file = self._process.load(content, kernels, where=where)
        self.version = self._process.version

    def invoke(self, inputs: Sequence[Array]) -> list[Array]:
        """One call with arrays of exactly the file's shapes and types, in the file's order; InputError otherwise."""
        self.check(inputs)
        return self._process.run(self._file, inputs, where=self.where)


def _described(model: Model, side: Literal["inputs", "outputs"]) -> tuple[FileTensor, ...]:
    """The tensors of one side, named as the file's signature names them."""
    names: dict[int, str] = {}
    if model.signatures:
        entries = model.signatures[0].inputs if side == "inputs" else model.signatures[0].outputs
        names = {index: name for name, index in entries.items()}
    found = []
    for index in model.main.inputs if side == "inputs" else model.main.outputs:
        tensor = model.main.tensors[index]
        quant = tensor.quantization
        scale = None if quant is None or not len(quant.scale) else float(quant.scale[0])
        zero = 0 if quant is None or not len(quant.zero_point) else int(quant.zero_point[0])
        found.append(FileTensor(names.get(index, tensor.name), tensor.shape, NUMPY_OF[tensor.type].name, scale, zero))
    return tuple(found)


def _array(source: IO[bytes], dtype: str, shape: list[int]) -> Array:
    kind = np.dtype(dtype)
    return np.frombuffer(source.read(kind.itemsize * int(np.prod(shape))), kind).reshape(shape)


def _end(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, log):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:  # what could not be sent any more
                continue
