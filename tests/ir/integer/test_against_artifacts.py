"""A graph in integers equals the file written of it, run by LiteRT's reference kernels: op by op and whole networks."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.errors import InputError, Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.frontend.source import load
from edgekit.ir import Graph, Simulator, ops, simulate
from edgekit.ir.quantized_data import dequantize
from edgekit.passes.pipeline import DECOMPOSE, EXACT
from edgekit.runtime.artifact import Artifact
from tests.ir import networks
from tests.ir.integer.test_nodes import CASES, Case, node_of

#: What the reference kernels do not have or compute wrongly.
NOT_COMPARED: dict[type[ops.Op], str] = {
    ops.Sum: "the reference kernel of SUM reads int8 as uint8",
    ops.Elu: "ELU is not among the reference kernels",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.op))
def test_an_op_in_integers_equals_its_file_in_every_bit(case: Case) -> None:
    if type(case.op) in NOT_COMPARED:
        pytest.skip(NOT_COMPARED[type(case.op)])
    graph = node_of(case)
    try:
        artifact = Artifact(export(graph, TfliteOptions(batch=2, layout="source")), kernels="reference")
    except Unsupported as error:
        pytest.skip(f"refused by the exporter: {error.what}")
    except InputError as error:
        # Some versions of an operator are registered among the default kernels only.
        pytest.skip(f"the reference kernels refuse it: {error.what.splitlines()[0]}")
    lowest = -128 if case.positive else -100
    quant = graph.inputs[0].quant
    assert quant is not None
    integers = [torch.randint(lowest, 101, (2, *shape)).to(torch.int8) for shape in case.shapes]
    theirs = artifact.run_flat([dequantize(q, quant).numpy() for q in integers])
    for value, ours, their in zip(graph.outputs, Simulator(graph).run(integers), theirs, strict=True):
        floats = ours if value.quant is None else dequantize(ours, value.quant)
        np.testing.assert_array_equal(floats.numpy(), their)


def quantized(graph: Graph, x: torch.Tensor) -> Graph:
    """Calibrated on ``x`` after the exact passes."""
    graph = graph.copy()
    for step in (*DECOMPOSE, *EXACT):
        step.apply(graph)
    return quantize(graph, [[x]], options=PostTraining("min_max"))[0]


def difference(graph: Graph, x: torch.Tensor) -> tuple[float, float]:
    """Share of equal output integers, and the largest difference in steps, over all outputs."""
    ours = simulate(graph, x)
    theirs = Artifact(export(graph), kernels="reference").run_flat([x.numpy()])
    equal, largest = [], 0.0
    for value, mine, their in zip(graph.outputs, ours if isinstance(ours, tuple) else (ours,), theirs, strict=True):
        assert value.quant is not None
        steps = ((mine.numpy() - their) / value.quant.scale[0]).round()
        equal.append((steps == 0).mean())
        largest = max(largest, float(np.abs(steps).max()))
    return float(np.mean(equal)), largest


@pytest.mark.parametrize("build", [networks.resnet20, networks.inverted_residuals])
def test_a_convolutional_network_equals_its_file_in_every_output_integer(build: Callable[[], Graph]) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 3, 32, 32)
    assert difference(quantized(build(), x), x) == (1.0, 0.0)


def test_a_network_with_float_islands_differs_by_one_at_most() -> None:
    """The islands' float sums are formed in another order: here and there an integer behind them is the next one."""
    torch.manual_seed(0)
    x = torch.randn(16, 3, 32, 32)
    equal, largest = difference(quantized(networks.vit(), x), x)
    assert equal > 0.9
    assert largest <= 1


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@pytest.mark.parametrize("name", ["resnet8", "dscnn", pytest.param("mbv1_025", marks=pytest.mark.slow), "fcae"])
def test_a_trained_network_of_mlperf_tiny_equals_its_file_in_every_output_integer(name: str, real_data: Path) -> None:
    reference = real_data.parent / "reference"
    if not (reference / "mlperf_tiny.py").is_file():
        pytest.skip("the reference models lie beside EDGEKIT_DATA and are absent")
    with on_path(reference):
        import mlperf_tiny  # type: ignore[import-not-found]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # its reader of weights leaves the file to the garbage collector
            module, _ = mlperf_tiny.build(name, softmax=True, pad="torch")
        x = mlperf_tiny.data(name, 4)
    assert difference(quantized(load(module, (x[:1],)), x), x) == (1.0, 0.0)
