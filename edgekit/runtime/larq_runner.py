"""Runs .tflite files in Larq Compute Engine's interpreter, in an environment of its own, at the other end of a pipe.

It stands alone (Python 3.9 or newer, numpy, larq-compute-engine) and is started by ``edgekit.runtime.larq``. A message is a
line of JSON and the bytes that it announces::

    {"do": "load", "size": 1200, "kernels": "optimized"}  + the file      ->  {"id": 0, "version": "0.16.0"}
    {"do": "run", "id": 0, "arrays": [["int8", [1, 8, 8, 3]]]} + the data  ->  {"arrays": [["int8", [1, 10]]]} + the data
    {"do": "time", "ids": [0, 1], "rounds": 20, "seed": 0}                 ->  {"seconds": [[...], [...]]}

or ``{"error": "..."}``. The package itself imports TensorFlow for its converter; only its compiled interpreter is loaded here.
"""

import importlib.machinery
import importlib.util
import json
import os
import sys
import time
from types import ModuleType
from typing import IO, Any, Dict, List, Tuple

import numpy as np

#: What is answered: the line, and the data behind it.
Answer = Tuple[Dict[str, Any], List[bytes]]

#: Kernels of LceBconv2d (and whether XNNPACK computes the builtin operators): arguments of the compiled interpreter, which are
#: threads, reference kernel, kernel of the indirect product, XNNPACK.
KERNELS = {
    "optimized": (1, False, False, False),
    "indirect": (1, False, True, False),
    "reference": (1, True, False, False),
    "xnnpack": (1, False, False, True),
    "indirect_xnnpack": (1, False, True, True),
}


def interpreter_module() -> ModuleType:
    """The compiled interpreter of the installed larq-compute-engine."""
    package = importlib.util.find_spec("larq_compute_engine")
    if package is None or package.origin is None:
        raise ImportError("larq-compute-engine is not installed in " + sys.executable)
    folder = os.path.join(os.path.dirname(package.origin), "tflite", "python")
    name = "interpreter_wrapper_lite"
    path = next(os.path.join(folder, file) for file in sorted(os.listdir(folder)) if file.startswith(name))
    loader = importlib.machinery.ExtensionFileLoader(name, path)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class Server:
    """Loaded files, by the order in which they came."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        """Speak on these streams."""
        self.source, self.sink = source, sink
        self.module = interpreter_module()
        self.files: List[Any] = []

    def serve(self) -> None:
        """Answers messages until the other end closes."""
        for line in iter(self.source.readline, b""):
            message = json.loads(line)
            try:
                answer, data = getattr(self, message.pop("do"))(**message)
            except Exception as error:  # whatever it is, the other end reports it
                answer, data = {"error": type(error).__name__ + ": " + str(error)}, []
            self.sink.write(json.dumps(answer).encode() + b"\n")
            for part in data:
                self.sink.write(part)
            self.sink.flush()

    def load(self, size: int, kernels: str) -> Answer:
        """A file, with kernels by name."""
        from importlib.metadata import version

        content = self.source.read(size)
        self.files.append(self.module.LiteInterpreter(content, *KERNELS[kernels]))
        return {"id": len(self.files) - 1, "version": version("larq-compute-engine")}, []

    def run(self, id: int, arrays: List[Tuple[str, List[int]]]) -> Answer:
        """One call."""
        given = [self.array(*about) for about in arrays]
        results = [np.ascontiguousarray(array) for array in self.files[id].predict(given)]
        about = [[array.dtype.name, list(array.shape)] for array in results]
        return {"arrays": about}, [array.tobytes() for array in results]

    def array(self, dtype: str, shape: List[int]) -> Any:
        """The next array of the stream."""
        kind = np.dtype(dtype)
        return np.frombuffer(self.source.read(kind.itemsize * int(np.prod(shape))), kind).reshape(shape)

    def time(self, ids: List[int], rounds: int, seed: int) -> Answer:
        """Seconds of every call: in each round every file once, so that a slow moment meets them all; two rounds warm up."""
        pick = np.random.default_rng(seed)
        inputs = [
            [pick.integers(-128, 128, shape).astype(kind) for kind, shape in zip(file.input_types, file.input_shapes)]
            for file in self.files
        ]
        seconds: List[List[float]] = [[] for _ in ids]
        for number in range(rounds + 2):
            for place, id in enumerate(ids):
                started = time.perf_counter()
                self.files[id].predict(inputs[id])
                if number >= 2:
                    seconds[place].append(time.perf_counter() - started)
        return {"seconds": seconds}, []


def main() -> None:
    """Speaks on the standard streams; what libraries print there goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    Server(sys.stdin.buffer, sink).serve()


if __name__ == "__main__":
    main()
