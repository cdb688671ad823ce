"""Batch norms behind reshapes and permutes go into the layer before these."""

from __future__ import annotations

import pytest

from edgekit.passes.fold_moved_norm import FoldMovedBatchNorm
from tests.rewrites import assert_rewrites

HEAD = """
graph g(%x: float32[N,6,8])
  @w: float32[4,8] parameter
  @m: float32[4]
  @v: float32[4] = [1, 2, 0.5, 1]
  @s: float32[6]
  @u: float32[6] = [1, 2, 3, 1, 2, 3]
  %y = linear(%x, @w)
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("%t = permute(%y, dims=(0,2,1))", "%z = permute(%y, dims=(0,2,1))"),
        ("%t = reshape(%y, shape=(6*N,4))", "%z = reshape(%y, shape=(6*N,4))"),
    ],
)
def test_a_norm_of_a_linear_layers_channels_is_folded(before: str, after: str) -> None:
    becomes = "graph g(%x: float32[N,6,8])\n@w: float32[4,8] parameter\n@b: float32[4] parameter\n%y = linear(%x, @w, @b)"
    assert_rewrites(
        FoldMovedBatchNorm(),
        f"{HEAD}\n{before}\n%z = batch_norm(%t, none, none, @m, @v)\nreturn %z",
        count=1,
        becomes=f"{becomes}\n{after}\nreturn %z".replace("@b", "@w_bias"),
    )


@pytest.mark.parametrize(
    "body",
    [
        "%z = batch_norm(%y, none, none, @s, @u)\nreturn %z",  # over the tokens
        "%t = permute(%y, dims=(0,2,1))\n%z = batch_norm(%t, none, none, @m, @v)\nreturn %z, %t",
        "%t = permute(%y, dims=(0,2,1))\n%r = relu(%t)\n%z = batch_norm(%r, none, none, @m, @v)\nreturn %z",
    ],
)
def test_other_norms_stay(body: str) -> None:
    assert_rewrites(FoldMovedBatchNorm(), f"{HEAD}\n{body}", count=0)
