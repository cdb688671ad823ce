#!/usr/bin/env python3
"""Time per operator of one model, in a process of its own: profiling doubles latency and multiplies memory.

Like the runner it stands alone (Python 3.9, numpy, ai-edge-litert or onnxruntime), runs on the device, and ends with a line
``EDGEKIT_RESULT {json}``: ``rows`` of (operator, microseconds per call), in execution order.

LiteRT's profiler is reached through the C interface of the wheel's shared library, which has no Python door; it reports whole
microseconds per event, so small operators are averages over many calls. Tested with ai-edge-litert 2.3.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from typing import Any, Dict, List, Sequence, Tuple

Row = Tuple[str, float]
MAX_EVENTS = 4096


class Event(ctypes.Structure):
    """ProfiledEventData of LiteRT's litert_profiler_event.h."""

    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("metadata", ctypes.c_uint64 * 2),
        ("source", ctypes.c_int),
    ]


#: Event kinds: an operator of the interpreter, the delegate's node as a whole, an operator inside the delegate.
OPERATOR, DELEGATE, INSIDE = 2, 4, 8


def profile_tflite(path: str, threads: int, calls: int) -> List[Row]:
    """Microseconds per operator of a .tflite file in LiteRT; a delegate's operators are listed one by one."""
    import ai_edge_litert
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)  # for the inputs' sizes
    interpreter.allocate_tensors()
    shapes = [(d["shape"], np.dtype(d["dtype"])) for d in interpreter.get_input_details()]
    n_outputs = len(interpreter.get_output_details())
    library = ctypes.CDLL(os.path.join(next(iter(ai_edge_litert.__path__)), "libLiteRt.so"))

    def call(name: str, *arguments: Any) -> None:
        status = getattr(library, "LiteRt" + name)(*arguments)
        if status:
            raise RuntimeError("LiteRt%s failed with status %d" % (name, status))

    def new(name: str, *arguments: Any) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        call(name, *arguments, ctypes.byref(made))
        return made

    size = ctypes.c_size_t
    environment = new("CreateEnvironment", 0, None)
    model = new("CreateModelFromFile", environment, os.fsencode(path))
    options = new("CreateOptions")
    call("SetOptionsHardwareAccelerators", options, 1)
    payload = ctypes.create_string_buffer(b"enable_profiling = true")
    keep_alive = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda pointer: None)
    extra = new("CreateOpaqueOptions", b"runtime_options_string", payload, keep_alive)
    call("AddOpaqueOptions", options, extra)
    compiled = new("CreateCompiledModel", environment, model, options)
    signature = new("GetModelSignature", model, size(0))
    rng = np.random.default_rng(0)
    buffers = []
    for side, count in (("Input", len(shapes)), ("Output", n_outputs)):
        made = (ctypes.c_void_p * count)()
        layouts = ((ctypes.c_int32 * 17) * count)()  # the sizes that the file may leave open: rank, 8 dimensions, 8 strides
        if side == "Input":
            for i in range(count):
                call("GetCompiledModelInputTensorLayout", compiled, size(0), size(i), layouts[i])
        else:
            call("GetCompiledModelOutputTensorLayouts", compiled, size(0), size(count), layouts, True)
        for i in range(count):
            tensor = new("GetSignature%sTensorByIndex" % side, signature, size(i))
            kind = (ctypes.c_int32 * 18)()  # LiteRtRankedTensorType: the element type and a layout
            call("GetRankedTensorType", tensor, kind)
            kind[1:] = list(layouts[i])
            needs = new("GetCompiledModel%sBufferRequirements" % side, compiled, size(0), size(i))
            made[i] = new("CreateManagedTensorBufferFromRequirements", environment, kind, needs).value
            if side == "Input":
                shape, dtype = shapes[i]
                value = np.frombuffer(rng.bytes(int(np.prod(shape)) * dtype.itemsize), "u1")
                value = (value.astype("f4") / 128 - 1)[: int(np.prod(shape))].astype(dtype) if dtype.kind == "f" else value
                content = value.tobytes()
                address = ctypes.c_void_p()
                call("LockTensorBuffer", ctypes.c_void_p(made[i]), ctypes.byref(address), 1)
                ctypes.memmove(address, content, len(content))
                call("UnlockTensorBuffer", ctypes.c_void_p(made[i]))
        buffers.append(made)
    run = (compiled, size(0), size(len(shapes)), buffers[0], size(n_outputs), buffers[1])
    for _ in range(10):
        call("RunCompiledModel", *run)
    profiler = new("CompiledModelGetProfiler", compiled)
    found: Dict[str, List[float]] = {}
    done = 0
    while done < calls:  # the profiler's memory is small: read it after every few calls
        call("StartProfiler", profiler)
        for _ in range(5):
            call("RunCompiledModel", *run)
        call("StopProfiler", profiler)
        done += 5
        for name, us in _events(call, profiler):
            found.setdefault(name, []).append(us)
        call("ResetProfiler", profiler)
    return [(name, typical(values)) for name, values in found.items()]


def _events(call: Any, profiler: Any) -> List[Row]:
    """The leaf events: operators that no delegate took, and the delegate's own."""
    count = ctypes.c_int()
    call("GetNumProfilerEvents", profiler, ctypes.byref(count))
    events = (Event * max(count.value, 1))()
    call("GetProfilerEvents", profiler, count, events)
    rows = []
    for event in events[: count.value]:
        name = (event.tag or b"").decode(errors="replace")
        if event.kind not in (OPERATOR, INSIDE) or name.startswith("Delegate/") or "elegate" in name[-9:]:
            continue
        rows.append(("%s %d" % (name, event.metadata[0]), float(event.elapsed_us)))
    return rows


def profile_onnx(path: str, threads: int, calls: int) -> List[Row]:
    """Microseconds per node of an .onnx file in ONNX Runtime, of its own trace; dimensions of any size are 1."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.enable_profiling, options.log_severity_level = threads, True, 3
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = os.path.join(folder, "trace")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        rng, feeds = np.random.default_rng(0), {}
        for node in session.get_inputs():
            kind = node.type[len("tensor(") : -1]
            shape = [n if isinstance(n, int) and n > 0 else 1 for n in node.shape]
            feeds[node.name] = rng.standard_normal(shape).astype({"float": "f4", "double": "f8"}.get(kind, kind))
        for _ in range(calls):
            session.run(None, feeds)
        with open(session.end_profiling()) as file:
            events = json.load(file)
    found: Dict[str, List[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["args"]["op_name"] + " " + event["name"][: -len("_kernel_time")]
            found.setdefault(name, []).append(float(event["dur"]))
    return [(name, typical(values)) for name, values in found.items()]


def typical(values: Sequence[float]) -> float:
    """The mean, less calls in which the operator was interrupted: one that waited for other work would be the whole profile.

    The profilers count whole microseconds, so a median would be 0 or 1: only what is far from it is left out.
    """
    limit = 4 * (sorted(values)[len(values) // 2] + 1)
    kept = [value for value in values if value <= limit]
    return sum(kept) / len(kept)


def main(arguments: Sequence[str]) -> int:
    """``op_profile.py MODEL [THREADS]``: print the result line; 0, or 1 where the result is an error."""
    path, threads = arguments[0], int(arguments[1]) if len(arguments) > 1 else 1
    try:
        rows = (profile_onnx if path.endswith(".onnx") else profile_tflite)(path, threads, 200)
        result: Dict[str, Any] = {"rows": rows, "error": None}
    except Exception as error:
        kind = "runtime-missing" if isinstance(error, ImportError) else "model-damaged"
        result = {"rows": [], "error": {"kind": kind, "message": "%s: %s" % (type(error).__name__, error)}}
    print("EDGEKIT_RESULT", json.dumps(result), flush=True)
    return 1 if result["error"] else 0


if __name__ == "__main__":
    sys.stdout.flush()
    os._exit(main(sys.argv[1:]))  # the library's destructors are not run: they expect an order that ctypes cannot give
