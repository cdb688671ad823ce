"""What is scaled or shifted per channel before a layer goes into the layer's weights."""

from __future__ import annotations

import pytest

from edgekit.passes.fold_forward import FoldForward, FoldNormAffine
from tests.rewrites import assert_rewrites

NORM = """
graph g(%x: float32[N,6,8])
  @g: float32[8] parameter
  @b: float32[8] parameter
  @w: float32[4,8] parameter
  @c: float32[4] parameter
  %n = layer_norm(%x, @g, @b)
"""


def test_weight_and_bias_of_a_norm_go_into_the_linear_layer_that_reads_it() -> None:
    assert_rewrites(
        FoldNormAffine(),
        f"{NORM}\n%y = linear(%n, @w, @c)\nreturn %y",
        count=1,
        becomes="""
        graph g(%x: float32[N,6,8])
          @w: float32[4,8] parameter
          @c: float32[4] parameter
          %n = layer_norm(%x)
          %y = linear(%n, @w, @c)
          return %y
        """,
    )


@pytest.mark.parametrize(
    "body",
    [
        "%y = linear(%n, @w)\nreturn %y",
        "%y = linear(%n, @w)\n%z = linear(%n, @v)\nreturn %y, %z",
        "%m = mean(%n, axes=(1,))\n%y = linear(%m, @w)\nreturn %y",
        "%m = mean(%n, axes=(1,), keepdim=True)\n%y = linear(%m, @w)\nreturn %y",
        "%m = slice(%n, starts=(0,0,0), stops=(N,1,8), steps=(1,1,1))\n%r = reshape(%m, shape=(N,8))\n%y = linear(%r, @w)\n"
        "return %y",
        "%p = permute(%n, dims=(0,2,1))\n%y = conv1d(%p, @k, stride=(2,))\nreturn %y",
    ],
)
def test_it_finds_every_layer_that_reads_the_channels(body: str) -> None:
    head = NORM.replace("  @c:", "  @v: float32[5,8] parameter\n  @k: float32[3,8,2] parameter\n  @c:")
    assert_rewrites(FoldNormAffine(), f"{head}\n{body}", count=1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("%y = linear(%n, @w)\n%z = add(%n, %x)\nreturn %y, %z", "'add' reads %n"),
        ("%y = linear(%n, @w)\nreturn %y, %n", "is an output"),
        ("%r = relu(%n)\n%y = linear(%r, @w)\nreturn %y", "'relu' reads %n"),
        ("%y = conv1d(%n, @k)\nreturn %y", "reads other channels"),
        ("%p = permute(%n, dims=(0,2,1))\n%y = conv1d(%p, @l, padding=((1,1),))\nreturn %y", "padding"),
        ("%m = mean(%n, axes=(2,), keepdim=True)\n%y = add(%m, %x)\nreturn %y", "'mean' reads"),
        ("%y = linear(%n, @w)\n%z = linear(%x, @w)\nreturn %y, %z", "shared"),
    ],
)
def test_it_declines_where_anything_else_reads_the_norm(body: str, reason: str) -> None:
    head = NORM.replace("  @c:", "  @k: float32[3,6,2] parameter\n  @l: float32[3,8,3] parameter\n  @c:")
    assert_rewrites(FoldNormAffine(), f"{head}\n{body}", count=0, skips=[reason])


def test_a_norm_over_two_dimensions_stays() -> None:
    text = """
    graph g(%x: float32[N,6,8])
      @g: float32[6,8]
      @w: float32[4,8]
      %n = layer_norm(%x, @g, axes=2)
      %y = linear(%n, @w)
      return %y
    """
    assert_rewrites(FoldNormAffine(), text, count=0, skips=["normalises over 2"])


def test_a_product_and_a_sum_before_a_linear_layer_go_into_it() -> None:
    assert_rewrites(
        FoldForward(),
        """
        graph g(%x: float32[N,6,8])
          @s: float32[8]
          @t: float32[8]
          @w: float32[4,8] parameter
          %r = relu(%x)
          %m = mul(%r, @s)
          %a = sub(%m, @t)
          %y = linear(%a, @w)
          return %y
        """,
        count=2,
        becomes="""
        graph g(%x: float32[N,6,8])
          @w: float32[4,8] parameter
          @w_bias: float32[4] parameter
          %a = relu(%x)
          %y = linear(%a, @w, @w_bias)
          return %y
        """,
    )


@pytest.mark.parametrize(
    "body",
    [
        "%m = mul(%x, @s)\n%y = linear(%m, @w)\nreturn %y",  # what prepares an input is folded into its quantisation
        "%r = relu(%x)\n%m = mul(%r, @s, activation='relu')\n%y = linear(%m, @w)\nreturn %y",
        "%r = relu(%x)\n%m = mul(%r, @t)\n%y = linear(%m, @w)\nreturn %y",
        "%r = relu(%x)\n%m = mul(%r, @s)\n%y = linear(%m, @w)\nreturn %y, %m",
    ],
)
def test_a_product_that_something_else_needs_stays(body: str) -> None:
    head = "graph g(%x: float32[N,6,8])\n@s: float32[8]\n@t: float32[6,1]\n@w: float32[4,8]"
    assert_rewrites(FoldForward(), f"{head}\n{body}", count=0)
