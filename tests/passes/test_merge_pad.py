"""Zero pads become the padding of the convolution that reads them."""

from __future__ import annotations

import pytest

from edgekit.ir import Where
from edgekit.ir.text import parse
from edgekit.passes.merge_pad import MergePad
from tests.rewrites import assert_rewrites

HEAD = "graph g(%x: float32[N,3,8,8])\n@w: float32[4,3,3,3] parameter\n"


def test_an_asymmetric_pad_becomes_asymmetric_padding() -> None:
    assert_rewrites(
        MergePad(),
        f"{HEAD}%p = pad(%x, pads=((0, 0), (0, 0), (0, 1), (2, 3)))\n%y = conv2d(%p, @w, stride=(2, 2))\nreturn %y",
        count=1,
        becomes=f"{HEAD}%y = conv2d(%x, @w, stride=(2, 2), padding=((0, 1), (2, 3)))\nreturn %y",
    )


def test_it_adds_to_padding_that_is_there() -> None:
    assert_rewrites(
        MergePad(),
        "graph g(%x: float32[N,3,8])\n@w: float32[4,3,3]\n"
        "%p = pad(%x, pads=((0, 0), (0, 0), (2, 1)))\n%y = conv1d(%p, @w, padding=((1, 1),))\nreturn %y",
        count=1,
        becomes="graph g(%x: float32[N,3,8])\n@w: float32[4,3,3]\n%y = conv1d(%x, @w, padding=((3, 2),))\nreturn %y",
    )


def test_a_pad_with_other_readers_stays_for_them() -> None:
    pad = "%p = pad(%x, pads=((0, 0), (0, 0), (1, 1), (1, 1)))\n"
    assert_rewrites(
        MergePad(),
        f"{HEAD}{pad}%y = conv2d(%p, @w)\n%z = conv2d(%p, @w, stride=(2, 2))\n%s = sigmoid(%p)\nreturn %y, %z, %s",
        count=2,
        becomes=f"{HEAD}{pad}%y = conv2d(%x, @w, padding=((1, 1), (1, 1)))\n"
        "%z = conv2d(%x, @w, stride=(2, 2), padding=((1, 1), (1, 1)))\n%s = sigmoid(%p)\nreturn %y, %z, %s",
    )


def test_the_convolution_says_where_the_pad_was() -> None:
    graph = parse(f"{HEAD}%p = pad(%x, pads=((0, 0), (0, 0), (0, 1), (0, 1)))\n%y = conv2d(%p, @w)\nreturn %y")
    graph.nodes[0].where, graph.nodes[1].where = (Where("pad"),), (Where("conv"),)
    after = assert_rewrites(MergePad(), graph, count=1)
    assert set(after.nodes[0].where) == {Where("pad"), Where("conv")}


@pytest.mark.parametrize(
    ("pad", "reason"),
    [
        ("pads=((0, 0), (0, 0), (1, 1), (1, 1)), value=0.5", "it pads with 0.5, not with zeros"),
        ("pads=((0, 0), (0, 0), (1, 1), (1, 1)), mode='reflect'", "it pads with reflect, not with zeros"),
        ("pads=((0, 0), (0, 1), (1, 1), (1, 1))", "the batch or the channels"),
        ("pads=((0, 0), (0, 0), (-1, 1), (1, 1))", "it crops"),
    ],
)
def test_it_declines_and_says_why(pad: str, reason: str) -> None:
    channels = 4 if "(0, 1), (1" in pad else 3
    text = f"graph g(%x: float32[N,3,8,8])\n@w: float32[4,{channels},3,3]\n%p = pad(%x, {pad})\n%y = conv2d(%p, @w)\nreturn %y"
    assert_rewrites(MergePad(), text, count=0, skips=[reason])


def test_a_requantising_pad_is_left_alone() -> None:
    text = (
        f"{HEAD}%p: float32[N,3,10,10] ~ int8(scale=0.1, zero_point=0) = pad(%x, pads=((0, 0), (0, 0), (1, 1), (1, 1)))\n"
        "%y = conv2d(%p, @w)\nreturn %y"
    )
    assert_rewrites(MergePad(), text, count=0, skips=["%p is quantised"])
