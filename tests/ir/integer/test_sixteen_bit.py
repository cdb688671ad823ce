"""Every op with 16-bit activations and 8-bit weights equals the file written of it, run by LiteRT's reference kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.compress.quantize.policy import LITERT
from edgekit.errors import InputError, Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.ir import Graph, N, QuantParams, Simulator, TensorType, ops
from edgekit.ir.integer.requantization import requantize
from edgekit.ir.quantized_data import dequantize
from edgekit.metrics import sqnr_db
from edgekit.runtime.artifact import Artifact
from tests.ir.integer.test_nodes import CASES, Case, node_of

FIXED = QuantParams("int16", (1.0 / 32768.0,), (0,))
STEPS = 100  # of 16 bits in one of 8


def widened(case: Case) -> Graph:
    """The case's node with 16-bit activations."""
    graph = node_of(case)
    fixed = isinstance(case.op, ops.Softmax | ops.Sigmoid | ops.Tanh)
    for value in graph.values():
        quant = value.quant
        if quant is None or (value.is_constant and (quant.narrow or isinstance(case.op, ops.Prelu))):
            continue
        if quant.dtype == "int32":
            finer = tuple(scale / STEPS for scale in quant.scale)
            value.quant = QuantParams("int64", finer, quant.zero_point, quant.axis)
        elif fixed and value.producer is not None:
            value.quant = FIXED
        else:
            value.quant = QuantParams("int16", (quant.scale[0] / STEPS,), (0,))
    return graph


def verdict(case: Case) -> str:
    """What LiteRT's reference kernels make of the case with 16-bit activations, in words."""
    graph = widened(case)
    quant = graph.inputs[0].quant
    assert quant is not None
    torch.manual_seed(0)
    lowest = 0 if case.positive else -12800
    integers = [torch.randint(lowest, 12801, (2, *shape)).to(torch.int16) for shape in case.shapes]
    floats = [dequantize(q, quant) for q in integers]
    try:
        file = Artifact(export(graph, TfliteOptions(batch=2, layout="source")), kernels="reference")
        theirs = file.run_flat([x.numpy() for x in floats])
    except (Unsupported, InputError):
        return "refused"
    wanted = graph.module().run([x.clone() for x in floats])
    if any(sqnr_db(a.float().numpy(), b) < 40 for a, b in zip(wanted, theirs, strict=True)):
        return "wrong"
    try:
        ours = Simulator(graph).run(integers)
    except Unsupported:
        return "runs, not simulated"
    same = [
        np.array_equal(mine.numpy() if v.quant is None else dequantize(mine, v.quant).numpy(), their)
        for v, mine, their in zip(graph.outputs, ours, theirs, strict=True)
    ]
    return "simulated exactly" if all(same) else "simulation differs"


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.op))
def test_an_op_on_16_bit_activations_equals_its_file_in_every_bit_or_stays_float(case: Case) -> None:
    kept = type(case.op) in (LITERT.integer | LITERT.either) - LITERT.only_8_bit
    refused = case.op.name == "avg_pool2d" and verdict(case) == "refused"  # in 8 bits too
    assert verdict(case) == "simulated exactly" if kept and not refused else verdict(case) != "simulation differs"


@pytest.mark.parametrize("op", [ops.Add(), ops.Sub()])
def test_a_sum_at_scales_that_are_powers_of_two_equals_its_file_in_every_bit(op: ops.Op) -> None:
    graph = node_of(Case(op, ((4, 4), (4, 4))))
    for value, scale in zip(graph.values(), (2.0**-15, 2.0**-12, 2.0**-11), strict=True):
        value.quant = QuantParams("int16", (scale,), (0,))
    integers = [torch.randint(-32768, 32768, (2, 4, 4)).to(torch.int16) for _ in range(2)]
    floats = [dequantize(q, v.quant).numpy() for q, v in zip(integers, graph.inputs, strict=True) if v.quant is not None]
    theirs = Artifact(export(graph, TfliteOptions(batch=2)), kernels="reference").run_flat(floats)[0]
    quant = graph.outputs[0].quant
    assert quant is not None
    np.testing.assert_array_equal(dequantize(Simulator(graph).run(integers)[0], quant).numpy(), theirs)


@pytest.mark.parametrize("before", ["int8", "int16"])
@pytest.mark.parametrize("after", ["int8", "int16"])
def test_a_requantisation_between_8_and_16_bits_equals_its_file_in_every_bit(before: str, after: str) -> None:
    sources = {"int8": QuantParams("int8", (0.031,), (-7,)), "int16": QuantParams("int16", (0.00013,), (0,))}
    results = {"int8": QuantParams("int8", (0.027,), (11,)), "int16": QuantParams("int16", (0.00021,), (0,))}
    quant, output = sources[before], results[after]
    x = torch.randint(quant.qmin, quant.qmax + 1, (4, 64)).to(getattr(torch, before))
    graph = Graph()
    value = graph.add_input("x", TensorType(torch.float32, (N, 64)))
    value.quant = quant
    made = graph.add(ops.Identity(), value)
    made.quant = output
    graph.outputs = [made]
    file = Artifact(export(graph, TfliteOptions(batch=4)), kernels="reference")
    theirs = file.run_flat([dequantize(x, quant).numpy()])[0]
    np.testing.assert_array_equal(dequantize(requantize(x, quant, output), output).numpy(), theirs)
