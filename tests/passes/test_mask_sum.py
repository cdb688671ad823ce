"""Constant masks before a softmax become sums, and only there."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest
import torch

from edgekit.export.onnx.convert import export as export_onnx
from edgekit.export.tflite.exporter import export
from edgekit.formats.tflite.read import read
from edgekit.frontend.source import load
from edgekit.passes.base import run_passes
from edgekit.passes.mask_sum import MaskToSum
from edgekit.passes.pipeline import EXACT
from tests.rewrites import assert_rewrites

LATER = torch.ones(4, 4, dtype=torch.bool).triu(1)
ROW = (torch.arange(4) == 2)[:, None]
HEAD = "graph g(%x: float32[N,4,4])\n@mask: bool[4,4]\n@low: float32[]\n"
SUM = "graph g(%x: float32[N,4,4])\n@bias: float32[4,4]\n%m = add(%x, @bias)\n%y = softmax(%m, axis=-1)\nreturn %y"


def constants(low: float, mask: torch.Tensor = LATER) -> dict[str, torch.Tensor]:
    return {"mask": mask, "low": torch.tensor(low), "c": torch.randn(4, 4)}


@pytest.mark.parametrize("low", [-float("inf"), -1e9, torch.finfo(torch.float32).min])
def test_a_number_that_blocks_scores_is_added_to_them(low: float) -> None:
    assert_rewrites(
        MaskToSum(),
        f"{HEAD}%m = where(@mask, @low, %x)\n%y = softmax(%m, axis=-1)\nreturn %y",
        constants=constants(low),
        count=1,
        becomes=SUM,
    )


def test_a_mask_of_what_stays_open_and_the_sum_before_it_are_one_sum() -> None:
    assert_rewrites(
        MaskToSum(),
        f"{HEAD}@c: float32[4,4]\n%s = add(@c, %x)\n%m = where(@mask, %s, @low)\n%y = softmax(%m, axis=-1)\nreturn %y",
        constants=constants(-float("inf"), ~LATER),
        count=1,
        becomes=SUM,
    )


@pytest.mark.parametrize(
    ("low", "mask", "reads", "reason"),
    [
        (-1e9, LATER | ROW, "softmax(%m, axis=-1)", "a whole row"),
        (-float("inf"), LATER, "exp(%m)", "something else than a softmax"),
        (-1e9, LATER, "log_softmax(%m, axis=-1)", "not -inf"),
    ],
)
def test_where_a_sum_would_show_the_choice_stays(low: float, mask: torch.Tensor, reads: str, reason: str) -> None:
    text = f"{HEAD}%m = where(@mask, @low, %x)\n%y = {reads}\nreturn %y"
    assert_rewrites(MaskToSum(), text, constants=constants(low, mask), count=0, skips=[reason])


def test_a_number_that_blocks_nothing_stays_a_choice() -> None:
    text = f"{HEAD}%m = where(@mask, @low, %x)\n%y = softmax(%m, axis=-1)\nreturn %y"
    assert_rewrites(MaskToSum(), text, constants=constants(-50.0), count=0)


class Masked(torch.nn.Module):
    """Scores, a constant beside them and a mask, as attention is often written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("later", torch.ones(6, 6, dtype=torch.bool).triu(1))
        self.register_buffer("beside", torch.randn(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = x @ x.transpose(-2, -1) * 0.3 + self.beside
        return scores.masked_fill(self.later, float("-inf")).softmax(-1) @ x


def test_files_of_masked_attention_have_one_sum() -> None:
    graph = run_passes(load(Masked().eval(), (torch.randn(1, 6, 8),)), EXACT)[0]
    assert read(export(graph)).op_counts() == {"BATCH_MATMUL": 2, "MUL": 1, "ADD": 1, "SOFTMAX": 1}
    nodes = Counter(node.op_type for node in onnx.load_from_string(export_onnx(graph)).graph.node)
    assert nodes == {"MatMul": 2, "Mul": 1, "Add": 1, "Softmax": 1, "Transpose": 1}
