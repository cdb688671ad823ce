"""The door to Larq Compute Engine: a process of another Python, which answers, refuses and times."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import InputError, UsageError
from edgekit.formats.tflite.model import Model, Operator, Quantization, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.larq import Larq, LarqProcess
from edgekit.runtime.larq_environment import VARIABLE, find_python, version_in

needs_engine = pytest.mark.skipif(
    find_python() is None, reason=f"no environment with larq-compute-engine: {VARIABLE} names its Python"
)


def there_and_back(channels: int, code: str = "LceDequantize") -> bytes:
    """Integers -> signs -> integers."""
    steps = Quantization(np.array([0.5], np.float32), np.array([3], np.int64))
    one = Quantization(np.array([1.0], np.float32), np.array([0], np.int64))
    tensors = (
        Tensor("x", (1, channels), TensorType.INT8, quantization=steps),
        Tensor("", (1, -(-channels // 32)), TensorType.INT32),
        Tensor("y", (1, channels), TensorType.INT8, quantization=one),
    )
    operators = (
        Operator(BuiltinOperator.CUSTOM, (0,), (1,), custom_code="LceQuantize", custom_options=b""),
        Operator(BuiltinOperator.CUSTOM, (1,), (2,), custom_code=code, custom_options=b""),
    )
    return write(Model((Subgraph(tensors, (0,), (2,), operators),)))


@needs_engine
def test_values_from_the_zero_point_on_are_plus_one() -> None:
    file = Larq(there_and_back(40))
    x = np.arange(-20, 20, dtype=np.int8)[None]
    assert np.array_equal(file.invoke([x])[0], np.where(x >= 3, 1, -1))
    assert file.version.startswith("0.16") and file.inputs[0].scale == 0.5


@needs_engine
def test_any_number_of_samples_goes_through_and_wrong_shapes_are_refused() -> None:
    file = Artifact(there_and_back(40))
    x = np.random.default_rng(0).normal(0, 4, (7, 40)).astype(np.float32)
    assert np.array_equal(file.run(x), np.where(np.rint(x / 0.5) >= 0, 1, -1))
    with pytest.raises(InputError, match="shape"):
        file.run(x[:, :3])


@needs_engine
def test_a_file_that_the_engine_refuses_is_an_error_with_its_own_words() -> None:
    with pytest.raises(InputError, match="LceNobody") as caught:
        Larq(there_and_back(40, "LceNobody"), where="net.tflite")
    assert "net.tflite" in str(caught.value.where)


@needs_engine
def test_files_are_timed_in_turn() -> None:
    process = LarqProcess()
    files = [process.load(there_and_back(size), kernels) for size, kernels in ((64, "optimized"), (4096, "indirect"))]
    seconds = process.time(files, 5)
    process.close()
    assert [len(row) for row in seconds] == [5, 5] and all(0 < s < 1 for row in seconds for s in row)


def test_a_python_without_the_engine_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if version_in(sys.executable) is not None:
        pytest.skip("larq-compute-engine is installed beside edgekit")
    monkeypatch.setenv(VARIABLE, sys.executable)
    with pytest.raises(UsageError, match="cannot be imported") as caught:
        Larq(there_and_back(8))
    assert "not installed" in str(caught.value.hint) and caught.value.where == sys.executable
