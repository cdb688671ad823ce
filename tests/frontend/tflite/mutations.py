"""Damaged .tflite files: bytes flipped, numbers replaced, files cut, and models whose tables contradict each other."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import numpy as np

from edgekit.formats.tflite.model import Model, Operator, Options, Quantization, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write

#: Numbers that sizes, offsets, axes and options do not expect.
_NUMBERS = (0, 1, -1, -2, 2, 3, 7, 127, 128, 255, 256, 65535, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 30)


def mutated(content: bytes, model: Model, seed: int) -> bytes:
    """A damaged copy of a file: every other one of its bytes, the others of its tables."""
    random = np.random.default_rng(seed)
    if seed % 2:
        return _of_bytes(content, random)
    for _ in range(10):
        try:
            return write(_of_tables(model, random), names="all")
        except (ValueError, KeyError, struct.error, OverflowError, TypeError, AttributeError, AssertionError):
            continue  # the writer refuses some of it; another draw
    return _of_bytes(content, random)


def _of_bytes(content: bytes, random: np.random.Generator) -> bytes:
    data = bytearray(content)
    kind = random.integers(4)
    if kind == 0:
        return bytes(data[: int(random.integers(8, len(data)))])
    for _ in range(int(random.integers(1, 9))):
        # The tables stand behind the buffers or before them: half of the hits go to the outer tenths.
        at = int(random.integers(len(data) - 4)) if random.random() < 0.5 else int(random.integers(max(len(data) // 10, 64)))
        at = len(data) - 5 - at if random.random() < 0.5 else at
        at = min(max(at, 8), len(data) - 4)
        if kind == 1:
            data[at] ^= 1 << int(random.integers(8))
        elif kind == 2:
            struct.pack_into("<i", data, at & ~3, int(random.choice(_NUMBERS)))
        else:
            other = int(random.integers(8, len(data) - 16))
            data[at : at + 8] = data[other : other + 8]
    return bytes(data[: len(content)])


def _of_tables(model: Model, random: np.random.Generator) -> Model:
    main = model.main
    for _ in range(int(random.integers(1, 4))):
        main = _changed(main, random)
    return dataclasses.replace(model, subgraphs=(main, *model.subgraphs[1:]))


def _changed(main: Subgraph, random: np.random.Generator) -> Subgraph:
    tensors, operators = list(main.tensors), list(main.operators)
    place, number = int(random.integers(len(tensors))), int(random.choice(_NUMBERS))
    which = int(random.integers(len(operators)))
    tensor, operator = tensors[place], operators[which]
    kind = random.integers(9)
    if kind == 0 and tensor.shape:
        shape = list(tensor.shape)
        shape[int(random.integers(len(shape)))] = abs(number) % (1 << 31)
        tensors[place] = dataclasses.replace(tensor, shape=tuple(shape))
    elif kind == 1:
        tensors[place] = dataclasses.replace(tensor, type=TensorType(int(random.choice([0, 1, 2, 3, 4, 6, 7, 9]))))
    elif kind == 2:
        quant = Quantization(np.float32([random.choice([0.0, -1.0, np.nan, np.inf, 0.5])]), np.int64([number]), number % 5)
        tensors[place] = dataclasses.replace(tensor, quantization=quant)
    elif kind == 3 and tensor.data is not None:
        integers = np.frombuffer(bytes(tensor.data[: len(tensor.data) // 4 * 4]), "<i4").copy()
        if len(integers):
            integers[int(random.integers(len(integers)))] = number
        tensors[place] = dataclasses.replace(tensor, data=integers.tobytes())
    elif kind == 4:
        operators[which] = dataclasses.replace(operator, code=BuiltinOperator(int(random.integers(0, 150))))
    elif kind == 5 and operator.inputs:
        inputs = list(operator.inputs)
        inputs[int(random.integers(len(inputs)))] = int(random.integers(-1, len(tensors)))
        operators[which] = dataclasses.replace(operator, inputs=tuple(inputs))
    elif kind == 6:
        outputs = tuple(int(i) for i in random.integers(0, len(tensors), int(random.integers(0, 3))))
        operators[which] = dataclasses.replace(operator, outputs=outputs)
    elif kind == 7 and operator.options is not None:
        operators[which] = _with_option(operator, operator.options, random, number)
    else:
        order = random.permutation(len(operators))
        operators = [operators[i] for i in order]
    return dataclasses.replace(main, tensors=tuple(tensors), operators=tuple(operators))


def _with_option(operator: Operator, options: Options, random: np.random.Generator, number: int) -> Operator:
    fields: dict[str, Any] = dict(options.fields)
    if fields:
        name = str(random.choice(list(fields)))
        fields[name] = bool(number % 2) if isinstance(fields[name], bool) else number
    return dataclasses.replace(operator, options=dataclasses.replace(options, fields=fields))


def loop(tensors: tuple[Tensor, ...], inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Model:
    """A WHILE whose body is the graph that holds it."""
    options = Options("WhileOptions", {"cond_subgraph_index": 0, "body_subgraph_index": 0})
    main = Subgraph(tensors, inputs, outputs, (Operator(BuiltinOperator.WHILE, inputs, outputs, options),))
    return Model((main,))
