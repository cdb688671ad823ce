"""Damaged and hostile ONNX files: seeded mutations of good ones, read under a limit of time and memory."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from edgekit.errors import EdgekitError
from edgekit.frontend.onnx.load import graph_of_model
from edgekit.frontend.onnx.read import parse_model
from edgekit.frontend.onnx.table import lowerings
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


#: Numbers that settings are changed to.
ODD = (0, 1, -1, 2, 3, 7, 64, 2**16, 2**31, 2**40, -(2**31), 2**62, -(2**63))


def structural(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Files that are well-formed and wrong: other operators, settings, sizes, readers and constants."""
    source = random.Random(seed)
    whole = onnx.ModelProto()
    whole.ParseFromString(data)
    operators = sorted(lowerings())
    for _ in range(count):
        made = onnx.ModelProto()
        made.CopyFrom(whole)
        for _ in range(source.choice((1, 1, 2, 4))):
            _change(made, source, operators)
        yield bytes(made.SerializeToString())


def _change(made: Any, source: random.Random, operators: list[str]) -> None:
    step = source.choice(made.graph.node)
    names = [name for each in made.graph.node for name in each.output] + [t.name for t in made.graph.initializer]
    match source.randrange(8):
        case 0:
            step.op_type = source.choice(operators)
        case 1 if step.attribute:
            attribute = source.choice(step.attribute)
            if attribute.ints:
                attribute.ints[source.randrange(len(attribute.ints))] = source.choice(ODD)
            attribute.i, attribute.f = source.choice(ODD), float(source.choice(ODD))
        case 2 if step.attribute:
            attribute = source.choice(step.attribute)
            del attribute.ints[source.randrange(len(attribute.ints) + 1) :]
            attribute.name = source.choice(("axis", "pads", "strides", "kernel_shape", "group", attribute.name))
        case 3 if step.input:
            step.input[source.randrange(len(step.input))] = source.choice([*names, ""])
        case 4:
            step.input.append(source.choice(names))
        case 5:
            tensor = source.choice(made.graph.initializer)
            if tensor.data_type == onnx.TensorProto.INT64:
                numbers = [source.choice(ODD) for _ in range(len(tensor.raw_data) // 8)]
                tensor.raw_data = b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)
            else:
                shape = list(tensor.dims)
                source.shuffle(shape)
                tensor.dims[:] = shape if source.random() < 0.5 else [*shape, 1]
        case 6:
            dims = source.choice(made.graph.input).type.tensor_type.shape.dim
            if dims:
                source.choice(dims).dim_value = source.choice(ODD)
        case _:
            made.graph.node.append(step)
            made.graph.node[-1].output[0] = f"copy{source.randrange(10**6)}"


def recurrent() -> bytes:
    """Layers over sequences, sizes that are computed, and quantised values."""
    import numpy as np

    proto = model(
        [
            node("LSTM", ["x", "w", "r", "b"], ["h", "", ""], hidden_size=3, direction="bidirectional"),
            node("Transpose", ["h"], ["t"], perm=[2, 1, 3, 0]),
            node("Shape", ["t"], ["s"]),
            node("Slice", ["s", "zero", "two"], ["front"]),
            node("Concat", ["front", "rest"], ["shape"], axis=0),
            node("Reshape", ["t", "shape"], ["f"]),
            node("Resize", ["f4", "", "factors"], ["up"], mode="linear", coordinate_transformation_mode="half_pixel"),
            node("Unsqueeze", ["f", "three"], ["f4"]),
            node("QuantizeLinear", ["up", "scale", "point"], ["q"]),
            node("DequantizeLinear", ["q", "scale", "point"], ["dq"]),
            node("Pad", ["dq", "pads"], ["p"], mode="reflect"),
            node("AveragePool", ["p"], ["a"], kernel_shape=[2, 2], ceil_mode=1, pads=[0, 1, 0, 1]),
            node("ConvTranspose", ["a", "k"], ["c"], strides=[2, 2], output_padding=[1, 1]),
            node("TopK", ["c", "one"], ["v", "i"], axis=1),
            node("CumSum", ["v", "at"], ["y"]),
        ],
        {"x": [5, "n", 4]},
        ["y"],
        {
            "w": array(2, 12, 4), "r": array(2, 12, 3), "b": array(2, 24), "zero": _int([0]), "two": _int([2]),
            "rest": _int([-1]), "three": _int([3]), "factors": np.float32([1, 1, 2, 2]), "scale": np.float32(0.1),
            "point": np.uint8(128), "pads": _int([0, 0, 1, 1, 0, 0, 1, 0]), "k": array(2, 3, 2, 2), "one": _int([1]),
            "at": _int(1),
        },
        opset=15,
    )  # fmt: skip
    return bytes(proto.SerializeToString())
