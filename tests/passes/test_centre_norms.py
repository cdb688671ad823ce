"""Layer norms of sums of layers become RMS norms; the mean goes out of the weights."""

from __future__ import annotations

import pytest

from edgekit.passes.centre_norms import CentreNorms
from tests.rewrites import assert_rewrites

HEAD = """
graph g(%x: float32[N,6,8])
  @w: float32[4,8] parameter
  @b: float32[4] parameter
  @v: float32[4,4] parameter
  @p: float32[1,6,4] parameter
  @t: float32[1,1,4] parameter
  @g: float32[4] parameter
  @c: float32[4] parameter
  @half: float32[] = [0.5]
"""


def test_a_norm_of_a_linear_layer_has_no_mean_to_subtract() -> None:
    assert_rewrites(
        CentreNorms(),
        f"{HEAD}\n%y = linear(%x, @w, @b)\n%n = layer_norm(%y, @g)\nreturn %n",
        count=1,
        becomes="""
        graph g(%x: float32[N,6,8])
          @w: float32[4,8] parameter
          @b: float32[4] parameter
          @g: float32[4] parameter
          %y = linear(%x, @w, @b)
          %n = rms_norm(%y, @g, eps=1e-05)
          return %n
        """,
    )


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("%y = linear(%x, @w, @b)\n%n = layer_norm(%y, @g, @c)\nreturn %n", 1),
        ("%y = linear(%x, @w)\n%s = add(%y, @p)\n%n = layer_norm(%s)\nreturn %n", 1),
        # a residual stream: every sum, every norm
        (
            "%y = linear(%x, @w, @b)\n%n = layer_norm(%y, @g)\n%z = linear(%n, @v)\n%h = mul(%z, @half)\n%s = add(%y, %h)\n"
            "%m = layer_norm(%s)\nreturn %m",
            2,
        ),
        # an image as tokens behind one that is learned
        (
            "%i = permute(%x, dims=(0,2,1))\n%y = conv1d(%i, @k)\n%l = permute(%y, dims=(0,2,1))\n"
            "%e = expand(@t, shape=(N,1,4))\n%a = concat(%e, %l, axis=1)\n%n = layer_norm(%a)\n"
            "%o = slice(%n, starts=(0,0,0), stops=(N,1,4), steps=(1,1,1))\nreturn %o",
            1,
        ),
        # windows of an image, turned by half a window
        (
            "%y = linear(%x, @w)\n%r = roll(%y, shifts=(1,), axes=(1,))\n%u = reshape(%r, shape=(2*N,3,4))\n"
            "%n = layer_norm(%u)\nreturn %n",
            1,
        ),
    ],
)
def test_everything_that_is_summed_is_centred(body: str, count: int) -> None:
    head = HEAD.replace("  @g:", "  @k: float32[4,8,1] parameter\n  @g:")
    after = assert_rewrites(CentreNorms(), f"{head}\n{body}", count=count)
    assert sum(node.op.name == "rms_norm" for node in after.nodes) == count
    assert not any(node.op.name == "layer_norm" for node in after.nodes)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("%n = layer_norm(%x)\nreturn %n", "is an input or output"),
        ("%y = linear(%x, @w)\n%n = layer_norm(%y)\nreturn %n, %y", "is an input or output"),
        ("%y = linear(%x, @w)\n%r = relu(%y)\n%n = layer_norm(%y)\n%s = add(%n, %r)\nreturn %s", "'relu' reads %y"),
        ("%y = linear(%x, @w, activation='relu')\n%n = layer_norm(%y)\nreturn %n", "groups or an activation"),
        ("%y = linear(%x, @w)\n%s = mul(%y, %y)\n%n = layer_norm(%s)\nreturn %n", "'mul'"),
        ("%y = linear(%x, @w)\n%s = add(%y, @half)\n%n = layer_norm(%s)\nreturn %n", "'add' computes"),
        ("%y = linear(%x, @w)\n%s = mul(%y, @g)\n%n = layer_norm(%s)\nreturn %n", "'mul'"),
        ("%y = linear(%x, @w)\n%z = linear(%x, @w)\n%n = layer_norm(%y)\nreturn %n, %z", "shared"),
        # quarters side by side are normalised over all of their channels
        ("%y = linear(%x, @w)\n%q = concat(%y, %y, axis=2)\n%n = layer_norm(%q)\nreturn %n", "'concat'"),
    ],
)
def test_a_norm_stays_where_the_mean_is_seen(body: str, reason: str) -> None:
    assert_rewrites(CentreNorms(), f"{HEAD}\n{body}", count=0, skips=[reason])


def test_one_stream_is_declined_and_another_rewritten() -> None:
    body = "%y = linear(%x, @w)\n%n = layer_norm(%y, @g)\n%z = linear(%n, @v)\n%m = layer_norm(%z)\nreturn %m, %y"
    assert_rewrites(CentreNorms(), f"{HEAD}\n{body}", count=1, skips=["output"])
