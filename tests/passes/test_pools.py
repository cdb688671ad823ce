"""Global average pools become means, and means drop their own dimensions."""

from __future__ import annotations

import pytest

from edgekit.passes.pools import GlobalPoolToMean, MergeMeanReshape
from tests.rewrites import assert_rewrites

HEAD = "graph g(%x: float32[N,3,4,6])\n"


@pytest.mark.parametrize("extra", ["", ", ceil_mode=True", ", count_include_pad=False"])
def test_a_window_over_everything_is_a_mean(extra: str) -> None:
    assert_rewrites(
        GlobalPoolToMean(),
        f"{HEAD}%y = avg_pool2d(%x, kernel=(4, 6), stride=(4, 6), padding=(0, 0){extra})\nreturn %y",
        count=1,
        becomes=f"{HEAD}%y = mean(%x, axes=(2, 3), keepdim=True)\nreturn %y",
    )


def test_so_it_is_in_one_dimension() -> None:
    assert_rewrites(
        GlobalPoolToMean(),
        "graph g(%x: float32[N,3,7])\n%y = avg_pool1d(%x, kernel=(7,), stride=(1,), padding=(0,))\nreturn %y",
        count=1,
        becomes="graph g(%x: float32[N,3,7])\n%y = mean(%x, axes=(2,), keepdim=True)\nreturn %y",
    )


@pytest.mark.parametrize(
    "pool",
    [
        "kernel=(4, 4), stride=(4, 4), padding=(0, 0)",
        "kernel=(4, 6), stride=(4, 6), padding=(1, 0)",
        "kernel=(4, 6), stride=(4, 6), padding=(0, 0), divisor=3",
    ],
)
def test_other_pools_stay(pool: str) -> None:
    assert_rewrites(GlobalPoolToMean(), f"{HEAD}%y = avg_pool2d(%x, {pool})\nreturn %y", count=0)


def test_a_reshape_after_a_mean_is_the_means_own_business() -> None:
    assert_rewrites(
        MergeMeanReshape(),
        f"{HEAD}%y = mean(%x, axes=(2, 3), keepdim=True)\n%z = reshape(%y, shape=(N, 3))\nreturn %z",
        count=1,
        becomes=f"{HEAD}%z = mean(%x, axes=(2, 3))\nreturn %z",
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("%z = reshape(%y, shape=(N, 3))\nreturn %z, %y", "%y has 2 readers"),
        ("%z = reshape(%y, shape=(N, 1, 3))\nreturn %z", "more than drop the averaged dimensions"),
        ("%z: float32[N,3] ~ int8(scale=0.1, zero_point=0) = reshape(%y, shape=(N, 3))\nreturn %z", "%z is quantised"),
    ],
)
def test_it_declines_and_says_why(body: str, reason: str) -> None:
    text = f"{HEAD}%y = mean(%x, axes=(2, 3), keepdim=True)\n{body}"
    assert_rewrites(MergeMeanReshape(), text, count=0, skips=[reason])
