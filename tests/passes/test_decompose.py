"""Composite ops as the simple ones that an integer runtime has."""

from __future__ import annotations

import pytest
import torch

from edgekit.ir import Graph, N, TensorType, ops
from edgekit.passes.decompose import DecomposeAttention
from edgekit.passes.decompose_activations import DecomposeHardsigmoid, DecomposeNeg, DecomposeSilu
from tests.rewrites import assert_rewrites


def attention(op: ops.Attention, mask: torch.Tensor | TensorType | None = None) -> Graph:
    graph = Graph("g")
    q = graph.add_input("q", TensorType(torch.float32, (N, 2, 5, 4)))
    k = graph.add_input("k", TensorType(torch.float32, (N, 2, 7, 4)))
    v = graph.add_input("v", TensorType(torch.float32, (N, 2, 7, 6)))
    if isinstance(mask, TensorType):
        extra = graph.add_input("mask", mask)
    else:
        extra = None if mask is None else graph.constant(mask, "mask")
    graph.outputs = [graph.add(op, q, k, v, *([] if extra is None else [extra]), name="y")]
    return graph


def test_attention_is_two_products_and_a_softmax() -> None:
    after = assert_rewrites(DecomposeAttention(), attention(ops.Attention()), count=1)
    assert [n.op.name for n in after.nodes] == ["mul", "matmul", "softmax", "matmul"]
    assert after.nodes[0].input(1).tensor.item() == 0.5


@pytest.mark.parametrize("scale", [None, 0.3, 1.0])
@pytest.mark.parametrize("causal", [False, True])
def test_scale_and_causality_are_kept(scale: float | None, causal: bool) -> None:
    after = assert_rewrites(DecomposeAttention(), attention(ops.Attention(causal=causal, scale=scale)), count=1)
    assert any(n.op.name == "mul" for n in after.nodes) == (scale != 1.0)


@pytest.mark.parametrize(
    "mask",
    [
        torch.randn(5, 7),
        torch.tensor([True, False, True, True, False, True, True]).expand(5, 7).clone(),
        TensorType(torch.float32, (N, 1, 5, 7)),
    ],
    ids=["added", "allowed", "an input"],
)
def test_masks_are_kept(mask: torch.Tensor | TensorType) -> None:
    assert_rewrites(DecomposeAttention(), attention(ops.Attention(), mask), count=1)


def test_quantised_attention_is_not_taken_apart() -> None:
    text = (
        "graph g(%q: float32[N,2,5,4])\n%y: float32[N,2,5,4] ~ int8(scale=0.1, zero_point=0) = attention(%q, %q, %q)\nreturn %y"
    )
    assert_rewrites(DecomposeAttention(), text, count=0, skips=["%y is quantised"])


def test_silu_is_a_gated_product() -> None:
    assert_rewrites(
        DecomposeSilu(),
        "graph g(%x: float32[N,4])\n%y = silu(%x)\nreturn %y",
        count=1,
        becomes="graph g(%x: float32[N,4])\n%y.gate = sigmoid(%x)\n%y = mul(%x, %y.gate)\nreturn %y",
    )


def test_hardsigmoid_is_a_clipped_sum_and_a_product() -> None:
    assert_rewrites(
        DecomposeHardsigmoid(),
        "graph g(%x: float32[N,4])\n%y = hardsigmoid(%x)\nreturn %y",
        count=1,
        becomes="graph g(%x: float32[N,4])\n@three: float32[] = 3\n@sixth: float32[]\n"
        "%y.shifted = add(%x, @three, activation='relu6')\n%y = mul(%y.shifted, @sixth)\nreturn %y",
    )


def test_a_change_of_sign_is_a_product() -> None:
    assert_rewrites(
        DecomposeNeg(),
        "graph g(%x: float32[N,4], %i: int64[N,4])\n%y = neg(%x)\n%z = neg(%i)\nreturn %y, %z",
        count=1,
        becomes="graph g(%x: float32[N,4], %i: int64[N,4])\n@minus: float32[] = -1\n%y = mul(%x, @minus)\n%z = neg(%i)\n"
        "return %y, %z",
    )


@pytest.mark.parametrize("step", [DecomposeSilu(), DecomposeHardsigmoid(), DecomposeNeg()], ids=["silu", "hardsigmoid", "neg"])
def test_a_quantised_activation_stays_one_op(step: DecomposeSilu | DecomposeHardsigmoid | DecomposeNeg) -> None:
    op = step.name.removeprefix("decompose_")
    text = f"graph g(%x: float32[N,4])\n%y: float32[N,4] ~ int8(scale=0.1, zero_point=0) = {op}(%x)\nreturn %y"
    assert_rewrites(step, text, count=0, skips=["%y is quantised"])
