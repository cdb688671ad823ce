"""Products and sums with constants disappear into the layer before them."""

from __future__ import annotations

import pytest

from edgekit.passes.fold_affine import FoldAffine
from tests.rewrites import assert_rewrites

CONV = """
graph g(%x: float32[N,3,8,8])
  @w: float32[4,3,3,3] parameter
  @b: float32[4] parameter
"""


@pytest.mark.parametrize(
    ("constant", "body"),
    [
        ("@c: float32[4,1,1]", "%z = mul(%y, @c)"),
        ("@c: float32[1,4,1,1]", "%z = mul(@c, %y)"),
        ("@c: float32[]", "%z = mul(%y, @c)"),
        ("@c: float32[1,1,1]", "%z = div(%y, @c)"),
        ("@c: float32[4,1,1] = [0.5, 2, -3, 4]", "%z = div(%y, @c)"),
        ("@c: float32[4,1,1]", "%z = add(%y, @c)"),
        ("@c: float32[4,1,1]", "%z = add(@c, %y)"),
        ("@c: float32[4,1,1]", "%z = sub(%y, @c)"),
        ("@c: float32[4,1,1]", "%z = sub(@c, %y)"),
        ("@c: float32[4,1,1] parameter", "%z = mul(%y, @c)"),
    ],
)
def test_a_constant_per_channel_goes_into_the_weights(constant: str, body: str) -> None:
    assert_rewrites(
        FoldAffine(),
        f"{CONV}\n{constant}\n%y = conv2d(%x, @w, @b)\n{body}\nreturn %z",
        count=1,
        becomes=f"{CONV}\n%z = conv2d(%x, @w, @b)\nreturn %z",
    )


def test_the_activation_of_the_product_becomes_that_of_the_layer() -> None:
    assert_rewrites(
        FoldAffine(),
        f"{CONV}\n@c: float32[4,1,1]\n%y = conv2d(%x, @w, @b)\n%z = add(%y, @c, activation='relu')\nreturn %z",
        count=1,
        becomes=f"{CONV}\n%z = conv2d(%x, @w, @b, activation='relu')\nreturn %z",
    )


def test_a_chain_of_products_and_sums_goes_in_whole() -> None:
    assert_rewrites(
        FoldAffine(),
        f"{CONV}\n@c: float32[4,1,1]\n@d: float32[4,1,1]\n%y = conv2d(%x, @w)\n%p = mul(%y, @c)\n%q = add(%p, @d)\nreturn %q",
        count=2,
        becomes="""
        graph g(%x: float32[N,3,8,8])
          @w: float32[4,3,3,3] parameter
          @w_bias: float32[4] parameter
          %q = conv2d(%x, @w, @w_bias)
          return %q
        """,
    )


@pytest.mark.parametrize(
    ("rank", "constant"),
    [("", "4"), ("5,", "4"), ("5,6,", "1,1,1,4"), ("5,6,", "1")],
)
def test_the_channels_of_a_linear_layer_are_its_last_axis(rank: str, constant: str) -> None:
    assert_rewrites(
        FoldAffine(),
        f"graph g(%x: float32[N,{rank}3])\n@w: float32[4,3]\n@c: float32[{constant}]\n"
        "%y = linear(%x, @w)\n%z = sub(@c, %y)\nreturn %z",
        count=1,
    )


def test_a_transposed_convolution_with_groups_is_scaled_by_its_output_channels() -> None:
    assert_rewrites(
        FoldAffine(),
        "graph g(%x: float32[N,6,5,5])\n@w: float32[6,2,3,3]\n@c: float32[4,1,1]\n"
        "%y = conv_transpose2d(%x, @w, groups=2)\n%z = mul(%y, @c)\nreturn %z",
        count=1,
    )


@pytest.mark.parametrize(
    ("constant", "body", "reason"),
    [
        ("@c: float32[6,6]", "%y = conv2d(%x, @w, @b)\n%z = mul(%y, @c)\nreturn %z", "not one number per channel"),
        ("@c: float32[2,1,4,1,1]", "%y = conv2d(%x, @w, @b)\n%z = mul(%y, @c)\nreturn %z", "not one number per channel"),
        ("@c: float32[4,1,1]", "%y = conv2d(%x, @w, @b)\n%z = mul(%y, @c)\nreturn %z, %y", "%y has 2 readers"),
        (
            "@c: float32[4,1,1]",
            "%y = conv2d(%x, @w, @b, activation='relu')\n%z = mul(%y, @c)\nreturn %z",
            "an activation stands between",
        ),
        (
            "@c: float32[4,1,1]",
            "%y = conv2d(%x, @w, @b)\n%z = mul(%y, @c)\n%o = conv2d(%x, @w)\nreturn %z, %o",
            "@w is shared",
        ),
        (
            "@c: float32[4,1,1] ~ int8(scale=0.1, zero_point=0)",
            "%y = conv2d(%x, @w, @b)\n%z = mul(%y, @c)\nreturn %z",
            "@c is quantised",
        ),
        ("@c: float32[] = 0", "%y = conv2d(%x, @w, @b)\n%z = div(%y, @c)\nreturn %z", "not a number"),
    ],
)
def test_it_declines_and_says_why(constant: str, body: str, reason: str) -> None:
    assert_rewrites(FoldAffine(), f"{CONV}\n{constant}\n{body}", count=0, skips=[reason])


@pytest.mark.parametrize("body", ["%y = relu(%x)\n%z = mul(%y, @c)", "%y = conv2d(%x, @w, @b)\n%z = div(@c, %y)"])
def test_what_it_cannot_mean_is_not_mentioned(body: str) -> None:
    assert_rewrites(FoldAffine(), f"{CONV}\n@c: float32[]\n{body}\nreturn %z", count=0)
