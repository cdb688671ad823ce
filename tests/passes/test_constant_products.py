"""A product with a constant matrix is a linear layer: in integers, and with the sum behind it as its bias."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.frontend.source import load
from edgekit.ir import ops
from edgekit.passes import EXACT, run_passes
from edgekit.passes.constant_products import LinearForConstantProduct
from tests.rewrites import assert_rewrites


def test_a_matrix_that_one_product_reads_keeps_its_name() -> None:
    assert_rewrites(
        LinearForConstantProduct(),
        "graph g(%x: float32[N,7,3])\n@w: float32[3,4] parameter\n%y = matmul(%x, @w)\nreturn %y",
        count=1,
        becomes="graph g(%x: float32[N,7,3])\n@w: float32[4,3] parameter\n%y = linear(%x, @w)\nreturn %y",
    )


def test_a_matrix_that_is_transposed_already_is_taken_as_it_is() -> None:
    assert_rewrites(
        LinearForConstantProduct(),
        "graph g(%x: float32[N,3])\n@w: float32[4,3] parameter\n%y = matmul(%x, @w, transpose_b=True)\nreturn %y",
        count=1,
        becomes="graph g(%x: float32[N,3])\n@w: float32[4,3] parameter\n%y = linear(%x, @w)\nreturn %y",
    )


def test_a_matrix_that_others_read_stays_for_them() -> None:
    after = assert_rewrites(
        LinearForConstantProduct(),
        "graph g(%x: float32[N,3,3])\n@w: float32[3,3] parameter\n%y = matmul(%x, @w)\n%z = mul(%y, @w)\nreturn %z",
        count=1,
    )
    assert [node.op.name for node in after.nodes] == ["linear", "mul"]


def test_stacks_of_matrices_and_vectors_are_left() -> None:
    assert_rewrites(
        LinearForConstantProduct(),
        "graph g(%x: float32[N,5,3])\n@w: float32[2,3,4] parameter\n%r = reshape(%x, shape=(N, 1, 5, 3))\n"
        "%y = matmul(%r, @w)\nreturn %y",
        count=0,
        skips=["no product of rows with a matrix"],
    )


class Own(nn.Module):
    """A linear layer of somebody's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.randn(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x @ self.weight + self.bias)


def test_a_linear_layer_of_ones_own_is_one_layer_in_integers() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 6)
    graph = run_passes(load(Own().eval(), (x[:1],)), EXACT)[0]
    assert [node.op for node in graph.nodes] == [ops.Linear("relu")]
    _, record = quantize(graph, [[x]], options=PostTraining("min_max"))
    assert record.islands == []
