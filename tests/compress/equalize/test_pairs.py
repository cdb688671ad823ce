"""Which layers scale can move between, and why it can't between the others."""

from __future__ import annotations

import pytest

from edgekit.compress.equalize.pairs import find_pairs
from edgekit.ir.text import parse

CONVS = """
graph g(%x: float32[N,3,8,8])
  @a.weight: float32[8,3,3,3] parameter
  @b.weight: float32[8,1,3,3] parameter
  @c.weight: float32[6,8,1,1] parameter
  @s: float32[8]
"""
P = "padding=((1, 1), (1, 1))"


def declined(body: str, *, relu6: bool = False) -> dict[str, str]:
    pairs, reasons = find_pairs(parse(CONVS + body), relu6=relu6)
    return reasons | {f"{p.first.input(1).name} -> {p.second.input(1).name}": "" for p in pairs}


def test_depthwise_and_pointwise_convolutions_form_a_chain() -> None:
    found = declined(
        f"%p = conv2d(%x, @a.weight, {P}, activation='relu')\n%q = conv2d(%p, @b.weight, {P}, groups=8, activation='relu')\n"
        "%y = conv2d(%q, @c.weight)\nreturn %y"
    )
    assert found == {"a.weight -> b.weight": "", "b.weight -> c.weight": "", "c": "its output is one of the model's"}


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        ("%q = relu(%p)", ""),
        ("%q = leaky_relu(%p, slope=0.2)", ""),
        ("%q = prelu(%p, @s)", ""),
        ("%q = max_pool2d(%p, kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1))", ""),
        ("%q = avg_pool2d(%p, kernel=(2, 2), stride=(2, 2), padding=(0, 0))", ""),
        ("%q = pad(%p, pads=((0, 0), (0, 0), (1, 1), (0, 2)))", ""),
        ("%q = mean(%p, axes=(2, 3), keepdim=True)", ""),
        ("%q = pad(%p, pads=((0, 0), (0, 0), (1, 1), (0, 2)), value=1.0)", "'pad' adds a constant"),
        ("%q = relu6(%p)", "'relu6' is not positively homogeneous"),
        ("%q = clamp(%p, low=0.0, high=6.0)", "'relu6' is not positively homogeneous"),
        ("%q = clamp(%p, low=-1.0, high=1.0)", "'clamp' is not positively homogeneous, or mixes channels"),
        ("%q = hardswish(%p)", "'hardswish' is not positively homogeneous"),
        ("%q = silu(%p)", "'silu' is not positively homogeneous"),
        ("%q = sigmoid(%p)", "'sigmoid' is not positively homogeneous"),
        ("%q = add(%p, %p)", "its output is read in 2 places, as beside a shortcut"),
    ],
)
def test_scale_passes_positively_homogeneous_ops_only(between: str, reason: str) -> None:
    found = declined(f"%p = conv2d(%x, @a.weight, {P})\n{between}\n%y = conv2d(%q, @c.weight)\nreturn %y")
    if reason:
        assert found["a"].startswith(reason)
    else:
        assert "a.weight -> c.weight" in found


def test_a_fused_relu6_is_passed_only_where_it_may_be_replaced() -> None:
    body = f"%p = conv2d(%x, @a.weight, {P}, activation='relu6')\n%y = conv2d(%p, @c.weight)\nreturn %y"
    assert "replace_relu6" in declined(body)["a"]
    assert "a.weight -> c.weight" in declined(body, relu6=True)


def test_a_shortcut_is_never_crossed() -> None:
    found = declined(
        f"%p = conv2d(%x, @a.weight, {P}, activation='relu')\n%q = conv2d(%p, @b.weight, {P}, groups=8)\n%r = add(%p, %q)\n"
        "%y = conv2d(%r, @c.weight)\nreturn %y"
    )
    assert found["a"] == "its output is read in 2 places, as beside a shortcut"
    assert found["b"] == "'add' joins its output with others"


def test_an_output_of_the_model_is_left_as_it_is() -> None:
    found = declined(f"%p = conv2d(%x, @a.weight, {P})\n%y = conv2d(%p, @c.weight)\nreturn %y, %p")
    assert found["a"] == "its output is one of the model's"


def test_shared_and_computed_weights_are_left_as_they_are() -> None:
    text = (
        "graph g(%x: float32[N,6])\n@w: float32[6,6] parameter\n@v: float32[6,6] parameter\n%a = linear(%x, @w)\n"
        "%b = linear(%a, @v)\n%c = linear(%b, @w)\nreturn %c"
    )
    _, reasons = find_pairs(parse(text))
    assert reasons == {
        "w": "it has a weight that other layers share",
        "v": "the layer behind it, 'w', has a weight that other layers share",
    }


def test_flattened_feature_maps_keep_their_channels_together() -> None:
    text = CONVS + (
        "@f: float32[5,512] parameter\n"
        f"%p = conv2d(%x, @a.weight, {P}, activation='relu')\n%q = reshape(%p, shape=(N, 512))\n%y = linear(%q, @f)\nreturn %y"
    )
    pairs, _ = find_pairs(parse(text))
    assert [pair.repeat for pair in pairs] == [64]
