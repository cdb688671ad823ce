"""Calibration data that says little is named, and what can't be learned from it is refused."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.quantize.post_training import PostTraining
from edgekit.errors import UsageError
from tests.compress.quantize.prepared import quantized

TEXT = "graph g(%x: float32[N,6])\n@w: float32[6,6]\n%y = linear(%x, @w)\nreturn %y"
LEARNED = PostTraining(rounding="adaround", rounding_iterations=3)


@pytest.mark.parametrize("integer_io", [True, False])
@pytest.mark.parametrize(("number", "shown"), [(0.0, "zero"), (2.5, "2.5")])
def test_an_input_that_never_changes_is_a_warning(integer_io: bool, number: float, shown: str) -> None:
    after, record = quantized(TEXT, batches=[[torch.full((8, 6), number)]], integer_io=integer_io)
    assert [line.partition(":")[0] for line in record.warnings] == [f"input 'x' is {shown} in all calibration data"]
    held = after.inputs[0].quant or after.inputs[0].users[0].output.quant
    assert held is not None and held.range[1] > 0.9


def test_few_samples_are_a_warning() -> None:
    _, record = quantized(TEXT, batches=[[torch.randn(1, 6)], [torch.randn(2, 6)]])
    assert record.warnings == ["ranges are those of 3 samples, and so is the error against the source: calibrate with some 100"]
    assert not quantized(TEXT, batches=[[torch.randn(8, 6)]])[1].warnings


def test_rounding_is_not_learned_from_a_single_sample() -> None:
    with pytest.raises(UsageError, match="there is one sample"):
        quantized(TEXT, batches=[[torch.randn(1, 6)]], options=LEARNED)
    _, record = quantized(TEXT, batches=[[torch.randn(1, 6)]] * 2, options=LEARNED)
    assert len(record.rounded) == 1
