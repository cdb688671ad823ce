"""A product with one number goes into the rows of the layer that it multiplies, and no others."""

from __future__ import annotations

import pytest
import torch

from edgekit.ir.text import parse
from edgekit.passes.fold_scale import FoldScale
from tests.rewrites import assert_rewrites

HEAD = """
graph g(%x: float32[N,6,8])
  @w: float32[12,8] parameter
  @b: float32[12] parameter
  @half: float32[] = [0.5]
  %y = linear(%x, @w, @b)
"""


def test_the_scale_of_queries_goes_into_their_rows_of_the_joint_layer() -> None:
    text = f"""{HEAD}
      %r = reshape(%y, shape=(N,6,3,2,2))
      %p = permute(%r, dims=(2,0,3,1,4))
      %q, %k, %v = split(%p, axis=0, sizes=(1,1,1))
      %s = mul(%q, @half)
      %a = matmul(%s, %k, transpose_b=True)
      %o = matmul(%a, %v)
      return %o
    """
    graph = parse(text)
    after = assert_rewrites(FoldScale(), graph, count=1)
    assert not any(node.op.name == "mul" for node in after.nodes)
    before, now = (g.value("w").tensor for g in (graph, after))
    torch.testing.assert_close(now, torch.cat([before[:4] * 0.5, before[4:]]))


@pytest.mark.parametrize(
    "body",
    [
        "%s = mul(%y, @half)\nreturn %s",
        "%p = permute(%y, dims=(0,2,1))\n%s = div(%p, @half)\nreturn %s",
        "%q, %k = split(%y, axis=2, sizes=(5,7))\n%s = mul(%q, @half)\nreturn %s, %k",
    ],
)
def test_it_reaches_the_layer_through_what_only_moves(body: str) -> None:
    assert_rewrites(FoldScale(), f"{HEAD}\n{body}", count=1)


@pytest.mark.parametrize(
    "body",
    [
        "%s = mul(%y, @half)\nreturn %s, %y",
        "%s = mul(%y, @half, activation='relu')\nreturn %s",
        "%r = relu(%y)\n%s = mul(%r, @half)\nreturn %s",
        "%q, %k = split(%y, axis=1, sizes=(2,4))\n%s = mul(%q, @half)\nreturn %s, %k",  # some tokens: all channels
        "%s = mul(%x, @half)\nreturn %s, %y",
        "%p = permute(%y, dims=(0,2,1))\n%a = matmul(%y, %p)\n%s = mul(%a, @half)\nreturn %s",  # both factors are the layer's
    ],
)
def test_it_stays_where_the_same_channels_are_read_elsewhere(body: str) -> None:
    assert_rewrites(FoldScale(), f"{HEAD}\n{body}", count=0)
