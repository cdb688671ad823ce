"""Every op of the graph, written to TFLite and loaded again: the same numbers in float, the same integers in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.errors import InputError, Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.ir import Graph
from edgekit.runtime.litert import LiteRT
from tests.export.onnx.one_op import one_op, reference, samples
from tests.export.onnx.test_ops_in_float import CASES as FLOAT_CASES
from tests.export.onnx.test_ops_in_float import Case as FloatCase
from tests.export.tflite.running import assert_close
from tests.frontend.tflite.files import load_bytes
from tests.ir.integer.test_nodes import CASES as INTEGER_CASES
from tests.ir.integer.test_nodes import Case as IntegerCase
from tests.ir.integer.test_nodes import node_of


def _file(graph: Graph) -> bytes:
    try:
        return export(graph, TfliteOptions(layout="source"))
    except Unsupported as error:
        pytest.skip(f"not written: {error.what}")


#: The first case of each op: the default tier takes these.
FIRST = list({type(case.op): case for case in reversed(FLOAT_CASES)}.values())


@pytest.mark.parametrize("case", FIRST, ids=lambda case: case.name)
def test_a_float_op_comes_back(case: FloatCase, tmp_path: Path) -> None:
    _assert_comes_back(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", FLOAT_CASES, ids=lambda case: case.name)
def test_every_float_case_comes_back(case: FloatCase, tmp_path: Path) -> None:
    _assert_comes_back(case, tmp_path)


def _assert_comes_back(case: FloatCase, folder: Path) -> None:
    graph = one_op(case.op, *case.inputs, outputs=case.outputs)
    content = _file(graph)
    loaded = load_bytes(content, folder)
    for seed in range(2):
        inputs = samples(graph, 1, seed)
        with torch.no_grad():
            got = loaded.module().eval().run(inputs)
        assert_close(got, reference(graph, inputs), 1e-4)


@pytest.mark.parametrize("case", INTEGER_CASES, ids=lambda case: str(case.op))
def test_an_integer_op_comes_back_with_the_same_integers(case: IntegerCase, tmp_path: Path) -> None:
    content = _file(node_of(case))
    loaded = load_bytes(content, tmp_path)
    again = export(loaded, TfliteOptions(layout="source"))
    first, second = _runner(content), _runner(again)
    random = np.random.default_rng(0)
    for _ in range(2):
        given = [random.integers(-100, 101, info.shape).astype(info.dtype) for info in first.inputs]
        for ours, theirs in zip(second.invoke(given), first.invoke(given), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def _runner(content: bytes) -> LiteRT:
    try:
        return LiteRT(content, "reference")
    except InputError:  # an operator without a reference kernel
        return LiteRT(content)
