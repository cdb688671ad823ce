"""Runs a .tflite file in an emulated Python, between marks: ``python_runner.py MODEL CALLS INPUT OUTPUT``.

The counterpart of litert_runner.c, with the same arguments, marks and input bytes, for models that the C interface does not
load. It stands alone: it runs in the ARM64 userland, which has numpy and LiteRT only.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

# Looked up once: the marks themselves must always cost the same.
_mark = ctypes.CDLL(None).getpriority


def fill(size: int) -> bytes:
    """The fixed generator of litert_runner.c."""
    made, state = bytearray(size), 1
    for i in range(size):
        state = (state * 1664525 + 1013904223) % 2**32
        made[i] = state >> 24
    return bytes(made)


def main(model: str, calls: int, given: str, output: str) -> None:
    """Load, run, mark, and write the first call's outputs."""
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()
    sizes = [int(np.prod(d["shape"])) * np.dtype(d["dtype"]).itemsize for d in inputs]
    if given == "-":
        content = fill(sum(sizes))
    else:
        with open(given, "rb") as file:
            content = file.read()
    at = 0
    for details, size in zip(inputs, sizes):
        raw, at = content[at : at + size], at + size
        dtype = np.dtype(details["dtype"])
        if dtype == np.float32 and given == "-":
            value = np.frombuffer(raw, "u1")[::4].astype("f4") / 128 - 1
        elif dtype.kind == "i" and dtype.itemsize >= 4 and given == "-":
            value = (np.frombuffer(raw, "u1")[:: dtype.itemsize] & 1).astype(dtype)
        else:
            value = np.frombuffer(raw, dtype)
        interpreter.set_tensor(details["index"], value.reshape(details["shape"]))
    gc.collect()
    gc.disable()
    invoke = interpreter._interpreter.Invoke
    _mark(77, 1000)
    _mark(77, 1001)
    for call in range(calls):
        _mark(77, 2 * call)
        invoke()
        _mark(77, 2 * call + 1)
        if call == 0 and output != "-":
            with open(output, "wb") as file:
                for details in interpreter.get_output_details():
                    file.write(interpreter.get_tensor(details["index"]).tobytes())
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
