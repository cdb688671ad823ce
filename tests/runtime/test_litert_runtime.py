"""The thin door to LiteRT."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import InputError, UsageError
from edgekit.formats.tflite.model import Model, Operator, Options, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write
from edgekit.runtime.litert import LiteRT

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")


def adder(batch: int = 1) -> bytes:
    """y = a + b on float32[batch, 3]."""
    tensors = tuple(Tensor(name, (batch, 3), TensorType.FLOAT32) for name in "aby")
    operator = Operator(BuiltinOperator.ADD, (0, 1), (2,), Options("AddOptions"))
    return write(Model((Subgraph(tensors, (0, 1), (2,), (operator,)),)))


def rows(count: int, start: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (np.arange(count * 3, dtype=np.float32) + start).reshape(count, 3)


@pytest.mark.parametrize("kernels", ["default", "reference", "builtin"])
@pytest.mark.parametrize(("batch", "samples"), [(1, 5), (4, 8), (4, 6), (4, 1)])
def test_any_number_of_samples_runs_through_a_file_of_fixed_batch(kernels: str, batch: int, samples: int) -> None:
    (y,) = LiteRT(adder(batch), kernels).run([rows(samples), rows(samples, 100)])  # type: ignore[arg-type]
    np.testing.assert_array_equal(y, rows(samples) + rows(samples, 100))


def test_an_input_that_belongs_to_no_sample_is_passed_to_every_call() -> None:
    (y,) = LiteRT(adder()).run([rows(4), rows(1, 7)], [0, None, 0])
    np.testing.assert_array_equal(y, rows(4) + rows(1, 7))


def test_inputs_and_outputs_are_described() -> None:
    model = LiteRT(adder(2))
    assert [(t.name, t.shape, t.dtype, t.scale) for t in model.inputs] == [
        ("a", (2, 3), "float32", None),
        ("b", (2, 3), "float32", None),
    ]
    assert model.op_counts()["ADD"] == 1


def test_the_runtime_writes_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    LiteRT(adder()).run([rows(1), rows(1)])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([rows(2)], "1 inputs were given"),
        ([rows(2), rows(3)], "3 samples, another one 2"),
        ([rows(2), rows(2).astype(np.float64)], "float64"),
        ([rows(2)[:, :2], rows(2)[:, :2]], "takes float32"),
        ([rows(2).reshape(-1), rows(2).reshape(-1)], "1 dimensions"),
        ([rows(0), rows(0)], "no sample"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: list[np.ndarray], message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(InputError, match=message):
        LiteRT(adder()).run(inputs)


def test_a_file_that_litert_refuses_is_an_input_error_with_its_reason() -> None:
    tensors = tuple(Tensor(name, shape, TensorType.FLOAT32) for name, shape in (("a", (1, 3)), ("b", (1, 4)), ("y", (1, 3))))
    operator = Operator(BuiltinOperator.ADD, (0, 1), (2,), Options("AddOptions"))
    with pytest.raises(InputError, match="LiteRT cannot load"):
        LiteRT(write(Model((Subgraph(tensors, (0, 1), (2,), (operator,)),))))
    with pytest.raises(InputError, match="LiteRT cannot load"):
        LiteRT(b"0000TFL3" + bytes(100))


def test_unknown_kernels_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="fastest"):
        LiteRT(adder(), "fastest")  # type: ignore[arg-type]
