"""Damaged and hostile ONNX files: seeded mutations of good ones, read under a limit of time and memory."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.frontend.onnx.load import graph_of_model
from edgekit.frontend.onnx.read import parse_model
from tests.frontend.onnx.models import array, model, node

#: What one file may take.
SECONDS, BYTES = 5.0, 2**30


def good() -> bytes:
    """A small network with most kinds of fields: convolution, pool, shapes, attributes of all kinds."""
    proto = model(
        [
            node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1], strides=[1, 1], auto_pad="NOTSET"),
            node("Relu", ["c"], ["r"]),
            node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Shape", ["p"], ["s"]),
            node("Gather", ["s", "zero"], ["n"], axis=0),
            node("Unsqueeze", ["n", "at"], ["n1"]),
            node("Concat", ["n1", "rest"], ["shape"], axis=0),
            node("Reshape", ["p", "shape"], ["flat"]),
            node("Gemm", ["flat", "v", "u"], ["g"], alpha=1.0, transB=1),
            node("Softmax", ["g"], ["y"], axis=-1),
        ],
        {"x": ["batch", 3, 8, 8]},
        ["y"],
        {
            "w": array(4, 3, 3, 3), "b": array(4), "v": array(5, 64), "u": array(5),
            "zero": _int(0), "at": _int([0]), "rest": _int([-1]),
        },
    )  # fmt: skip
    return bytes(proto.SerializeToString())


def _int(value: int | list[int]) -> object:
    import numpy as np

    return np.asarray(value, np.int64)


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Bytes changed, cut out, doubled, cut off, and numbers of the protobuf made huge or negative."""
    source = random.Random(seed)
    huge = (
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x80\x80\x80\x80\x10",
        b"\x00",
    )
    for _ in range(count):
        made = bytearray(data)
        for _ in range(source.choice((1, 1, 1, 2, 4, 16))):
            at = source.randrange(len(made))
            match source.randrange(6):
                case 0:
                    made[at] ^= 1 << source.randrange(8)
                case 1:
                    made[at] = source.randrange(256)
                case 2:
                    del made[at : at + source.randrange(1, 32)]
                case 3:
                    made[at:at] = made[at : at + source.randrange(1, 32)]
                case 4:
                    made[at : at + 1] = source.choice(huge)
                case 5:
                    del made[max(at, 1) :]
            if not made:
                made = bytearray(b"\x08")
        yield bytes(made)


def attempt(data: bytes) -> str:
    """``loaded``, or the kind of the error.

    Raises:
        AssertionError: it took too long.
        Exception: whatever is no error for users: a fault in edgekit.
    """
    started = time.process_time()
    try:
        graph_of_model(parse_model(data, "mutant.onnx"), name="mutant", where="mutant.onnx")
        kind = "loaded"
    except EdgekitError as error:
        kind = type(error).__name__
    taken = time.process_time() - started
    assert taken < SECONDS, f"took {taken:.1f} s"
    return kind


def limit_memory() -> None:
    """From now on the process gets at most ``BYTES`` more."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + BYTES, now + BYTES))
