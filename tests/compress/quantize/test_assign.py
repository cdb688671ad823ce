"""The parameters of weights, biases and constants."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from edgekit.compress.quantize.policy import LITERT, TFLM
from edgekit.compress.quantize.post_training import PostTraining
from edgekit.ir import ops
from edgekit.ir.quantized_data import quantize_constant
from edgekit.ir.text import parse
from tests.compress.quantize.prepared import of_kind, quantized

PLAIN = PostTraining("min_max", bias_correction=False)


@pytest.mark.parametrize(
    ("layer", "weight", "shape", "axis", "scales"),
    [
        ("conv2d(%x, @w, @b)", "4,3,3,3", "3,6,6", 0, 4),
        ("conv1d(%x, @w, @b)", "4,3,3", "3,6", 0, 4),
        ("linear(%x, @w, @b)", "4,6", "6", 0, 4),
        ("conv_transpose2d(%x, @w, @b)", "3,4,3,3", "3,6,6", 1, 4),
        ("conv_transpose2d(%x, @w, @b, groups=2)", "6,2,3,3", "6,6,6", None, 1),
    ],
)
def test_weights_are_per_output_channel_and_biases_have_the_accumulators_scale(
    layer: str, weight: str, shape: str, axis: int | None, scales: int
) -> None:
    after, _ = quantized(
        f"graph g(%x: float32[N,{shape}])\n@w: float32[{weight}] parameter\n@b: float32[4] parameter\n%y = {layer}\nreturn %y",
        options=PLAIN,
    )
    x, w, b = (v.quant for v in after.nodes[0].inputs if v is not None)
    assert x is not None and w is not None and b is not None
    assert (w.axis, len(w.scale), w.narrow) == (axis, scales, True)
    assert b.dtype == "int32" and b.scale == pytest.approx([x.scale[0] * s for s in w.scale], rel=1e-6)


def test_linear_layers_are_per_tensor_where_the_runtime_wants_that() -> None:
    text = "graph g(%x: float32[N,6])\n@w: float32[4,6]\n@b: float32[4]\n%y = linear(%x, @w, @b)\nreturn %y"
    for policy in (TFLM, dataclasses.replace(LITERT, per_channel_linear=False)):
        node = quantized(text, policy=policy)[0].nodes[0]
        assert node.input(1).quant is not None and node.input(1).quant.axis is None
        assert node.input(2).quant is not None and node.input(2).quant.axis is None


def test_a_dead_channel_does_not_blow_up_the_multiplier() -> None:
    weight = torch.randn(4, 6)
    weight[2] = 0.0
    weight[3] = 1e-12
    text = "graph g(%x: float32[N,6])\n@w: float32[4,6]\n@b: float32[4]\n%y = linear(%x, @w, @b)\nreturn %y"
    after, _ = quantized(parse(text, {"w": weight, "b": torch.tensor([0.1, 0.0, 1000.0, -2000.0])}), options=PLAIN)
    node = after.nodes[0]
    x, w, y = node.input(0).quant, node.input(1).quant, node.output.quant
    assert x is not None and w is not None and y is not None
    assert min(w.scale) * x.scale[0] / y.scale[0] >= 2.0**-20 * 0.999
    bias = quantize_constant(node.input(2).tensor, node.input(2).quant)
    assert int(bias.abs().max()) <= 2**30
    assert float(bias[2]) * w.scale[2] * x.scale[0] == pytest.approx(1000.0, rel=1e-3)


def test_a_large_bias_over_small_weights_keeps_its_value() -> None:
    text = "graph g(%x: float32[N,6])\n@w: float32[1,6]\n@b: float32[1]\n%y = linear(%x, @w, @b)\nreturn %y"
    after, _ = quantized(parse(text, {"w": torch.full((1, 6), 1e-9), "b": torch.tensor([50.0])}), options=PLAIN)
    node = after.nodes[0]
    assert node.input(2).quant is not None
    integer = float(quantize_constant(node.input(2).tensor, node.input(2).quant))
    assert abs(integer) <= 2**30 and integer * node.input(2).quant.scale[0] == pytest.approx(50.0, rel=1e-3)


def test_a_weight_that_two_layers_share_is_stored_once_where_both_want_the_same() -> None:
    after, _ = quantized(
        "graph g(%x: float32[N,6])\n@w: float32[6,6] parameter\n%a = linear(%x, @w)\n%y = linear(%a, @w)\nreturn %y",
        options=PLAIN,
    )
    first, second = of_kind(after, ops.Linear)
    assert first.input(1).quant == second.input(1).quant
    assert torch.equal(first.input(1).tensor, second.input(1).tensor)


def test_a_bias_that_two_layers_share_gets_a_copy_per_scale() -> None:
    before = parse(
        "graph g(%x: float32[N,6])\n@w: float32[6,6] parameter\n@b: float32[6] parameter\n%a = linear(%x, @w, @b)\n"
        "%y = linear(%a, @w, @b)\nreturn %y"
    )
    after, _ = quantized(before, options=PLAIN)
    first, second = of_kind(after, ops.Linear)
    assert first.input(2) is not second.input(2) and first.input(2).quant != second.input(2).quant
    assert before.nodes[0].input(2) is before.nodes[1].input(2) and before.nodes[0].input(2).quant is None


def test_a_constant_that_a_float_and_an_integer_node_read_is_float_for_the_one() -> None:
    after, _ = quantized(
        "graph g(%x: float32[N,6])\n@w: float32[6,6]\n@c: float32[6]\n%a = linear(%x, @w)\n%t = tanh(%a)\n"
        "%b = mul(%t, @c)\n%l = linear(%b, @w)\n%e = exp(%l)\n"
        "%y = mul(%e, @c)\nreturn %y",
        integer_io=False,
    )
    integer, float_ = of_kind(after, ops.Mul)
    assert integer.input(1).quant is not None and float_.input(1).quant is None
    assert torch.equal(integer.input(1).tensor, float_.input(1).tensor)


@pytest.mark.parametrize("join", ["maximum(%a, @c)", "minimum(@c, %a)", "concat(%a, @c, axis=0)"])
def test_constants_that_are_compared_or_joined_take_the_scale_of_the_result(join: str) -> None:
    text = f"graph g(%x: float32[2,6])\n@w: float32[6,6]\n@c: float32[1,6]\n%a = linear(%x, @w)\n%y = {join}\nreturn %y"
    after, _ = quantized(text, batches=[[torch.randn(2, 6)] for _ in range(4)])
    node = after.nodes[1]
    assert {v.quant for v in (*node.inputs, node.output) if v is not None} == {node.output.quant}


@pytest.mark.parametrize("op", ["add", "sub", "mul"])
def test_constants_of_arithmetic_have_a_scale_of_their_own(op: str) -> None:
    text = f"graph g(%x: float32[N,4,6])\n@c: float32[4,6]\n@w: float32[6,6]\n%l = linear(%x, @w)\n%y = {op}(%l, @c)\nreturn %y"
    after, _ = quantized(text, options=PLAIN)
    constant = next(n for n in after.nodes if n.op.name == op).input(1)
    assert constant.quant is not None and constant.quant.axis is None
    low, high = constant.quant.range
    assert (
        low <= float(constant.tensor.min()) + constant.quant.scale[0]
        and high >= float(constant.tensor.max()) - constant.quant.scale[0]
    )


def test_slopes_are_symmetric() -> None:
    after, _ = quantized(
        "graph g(%x: float32[N,4,6])\n@s: float32[4]\n@w: float32[6,6]\n%l = linear(%x, @w)\n%y = prelu(%l, @s)\nreturn %y"
    )
    slopes = of_kind(after, ops.Prelu)[0].input(1).quant
    assert slopes is not None and slopes.zero_point == (0,) and slopes.axis is None
