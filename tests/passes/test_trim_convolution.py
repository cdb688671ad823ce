"""Positions that nobody reads are not computed."""

from __future__ import annotations

import pytest

from edgekit.passes.merge_pad import MergePad
from edgekit.passes.trim_convolution import TrimConvolution
from tests.rewrites import assert_rewrites

SIGNAL = "graph g(%x: float32[N,3,16])\n@w: float32[4,3,3] parameter\n"
IMAGE = "graph g(%x: float32[N,3,9,8])\n@w: float32[4,3,3,3] parameter\n"


def test_a_causal_convolution_is_padded_in_front_alone() -> None:
    assert_rewrites(
        TrimConvolution(),
        f"{SIGNAL}%c = conv1d(%x, @w, padding=((4, 4),), dilation=(2,))\n"
        "%y = slice(%c, starts=(0, 0, 0), stops=(N, 4, 16), steps=(1, 1, 1))\nreturn %y",
        count=1,
        becomes=f"{SIGNAL}%y = conv1d(%x, @w, padding=((4, 0),), dilation=(2,))\nreturn %y",
    )


def test_a_position_is_a_stride_of_padding_at_either_end_of_either_dimension() -> None:
    assert_rewrites(
        TrimConvolution(),
        f"{IMAGE}%c = conv2d(%x, @w, stride=(2, 1), padding=((3, 4), (2, 2)), activation='relu')\n"
        "%y = slice(%c, starts=(0, 0, 1, 2), stops=(N, 4, 6, 9), steps=(1, 1, 1, 1))\nreturn %y",
        count=1,
        becomes=f"{IMAGE}%y = conv2d(%x, @w, stride=(2, 1), padding=((1, 2), (0, 1)), activation='relu')\nreturn %y",
    )


def test_padding_by_an_op_of_its_own_counts() -> None:
    text = (
        f"{SIGNAL}%p = pad(%x, pads=((0, 0), (0, 0), (2, 2)))\n%c = conv1d(%p, @w)\n"
        "%y = slice(%c, starts=(0, 0, 0), stops=(N, 4, 16), steps=(1, 1, 1))\nreturn %y"
    )
    merged = assert_rewrites(MergePad(), text, count=1)
    assert_rewrites(TrimConvolution(), merged, count=1)


@pytest.mark.parametrize(
    ("convolution", "cut", "reason"),
    [
        ("padding=((2, 2),)", "starts=(0, 0, 0), stops=(N, 4, 12), steps=(1, 1, 1)", "it cuts off more than padding gave"),
        ("padding=((2, 2),)", "starts=(0, 0, 0), stops=(N, 4, 18), steps=(1, 1, 2)", "it takes positions in steps"),
        ("padding=((2, 2),)", "starts=(0, 1, 0), stops=(N, 4, 18), steps=(1, 1, 1)", "it cuts the batch or the channels"),
    ],
)
def test_what_is_no_padding_stays(convolution: str, cut: str, reason: str) -> None:
    text = f"{SIGNAL}%c = conv1d(%x, @w, {convolution})\n%y = slice(%c, {cut})\nreturn %y"
    assert_rewrites(TrimConvolution(), text, count=0, skips=[reason])


def test_positions_that_somebody_else_reads_stay() -> None:
    assert_rewrites(
        TrimConvolution(),
        f"{SIGNAL}%c = conv1d(%x, @w, padding=((2, 2),))\n"
        "%y = slice(%c, starts=(0, 0, 0), stops=(N, 4, 16), steps=(1, 1, 1))\nreturn %y, %c",
        count=0,
        skips=["%c has 2 readers"],
    )
