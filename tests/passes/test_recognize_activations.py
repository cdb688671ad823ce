"""Activations that users compose from simpler ops are recognised."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.ir import ops
from edgekit.passes import EXACT, run_passes
from edgekit.passes.canonicalize import RecognizeActivations
from tests.rewrites import assert_rewrites

HEAD = "graph g(%x: float32[N,4,5])\n@three: float32[] = 3\n@six: float32[1] = [6]\n@sixth: float32[] = 0.16666667\n"


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("%s = sigmoid(%x)\n%y = mul(%x, %s)", "silu(%x)"),
        ("%s = sigmoid(%x)\n%y = mul(%s, %x)", "silu(%x)"),
        ("%s = hardsigmoid(%x)\n%y = mul(%x, %s)", "hardswish(%x)"),
        ("%a = add(%x, @three)\n%r = relu6(%a)\n%y = div(%r, @six)", "hardsigmoid(%x)"),
        ("%a = add(%x, @three)\n%r = clamp(%a, low=0.0, high=6.0)\n%y = mul(%r, @sixth)", "hardsigmoid(%x)"),
        ("%a = add(%x, @three)\n%r = relu6(%a)\n%p = mul(%x, %r)\n%y = div(%p, @six)", "hardswish(%x)"),
        ("%a = add(%x, @three)\n%r = relu6(%a)\n%p = mul(%r, %x)\n%y = mul(%p, @sixth)", "hardswish(%x)"),
    ],
)
def test_a_composition_becomes_the_op(body: str, result: str) -> None:
    text = f"{HEAD}{body}\nreturn %y"
    assert_rewrites(RecognizeActivations(), text, count=1, becomes=f"graph g(%x: float32[N,4,5])\n%y = {result}\nreturn %y")


def test_a_sixth_of_relu6_times_x_is_found_in_two_steps() -> None:
    assert_rewrites(
        RecognizeActivations(),
        f"{HEAD}%a = add(%x, @three)\n%r = relu6(%a)\n%h = div(%r, @six)\n%y = mul(%x, %h)\nreturn %y",
        count=2,
        becomes="graph g(%x: float32[N,4,5])\n%y = hardswish(%x)\nreturn %y",
    )


def test_a_gate_with_other_readers_stays_for_them() -> None:
    text = f"{HEAD}%s = sigmoid(%x)\n%y = mul(%x, %s)\nreturn %y, %s"
    assert_rewrites(
        RecognizeActivations(),
        text,
        count=1,
        becomes="graph g(%x: float32[N,4,5])\n%s = sigmoid(%x)\n%y = silu(%x)\nreturn %y, %s",
    )


@pytest.mark.parametrize(
    "body",
    [
        "%h = relu(%x)\n%s = sigmoid(%h)\n%y = mul(%x, %s)",  # the gate is of something else
        "%s = sigmoid(%x)\n%y = mul(%x, %s, activation='relu')",
        "%a = add(%x, @six)\n%r = relu6(%a)\n%y = div(%r, @six)",  # shifted by six
        "%a = add(%x, @three)\n%r = relu(%a)\n%y = div(%r, @six)",
        "%a = add(%x, @three)\n%r = relu6(%a)\n%y = div(%r, @three)",
    ],
)
def test_what_only_looks_alike_stays(body: str) -> None:
    text = f"{HEAD}{body}\nreturn %y"
    assert_rewrites(RecognizeActivations(), text, count=0, becomes=text)


def test_a_constant_that_adds_a_dimension_is_not_swallowed() -> None:
    text = (
        "graph g(%x: float32[N,4])\n@three: float32[] = 3\n@six: float32[1,1,1] = [[[6]]]\n"
        "%a = add(%x, @three)\n%r = relu6(%a)\n%y = div(%r, @six)\nreturn %y"
    )
    assert_rewrites(RecognizeActivations(), text, count=0, becomes=text)


def test_quantised_parts_are_not_joined() -> None:
    text = f"{HEAD}%s: float32[N,4,5] ~ int8(scale=0.00390625, zero_point=-128) = sigmoid(%x)\n%y = mul(%x, %s)\nreturn %y"
    assert_rewrites(RecognizeActivations(), text, count=0, becomes=text)


class HandMade(nn.Module):
    """MobileNetV3's activations, as many repositories write them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x))
        return y * nn.functional.relu6(y + 3.0) / 6.0


def test_they_are_recognised_in_a_network_behind_a_folded_norm() -> None:
    graph = ek.load(HandMade(), torch.randn(1, 3, 6, 6))
    after, _ = run_passes(graph, EXACT)
    assert [type(n.op) for n in after.nodes] == [ops.Conv2d, ops.Hardswish]
