"""Activations become an attribute of the op before them where runtimes have that."""

from __future__ import annotations

import pytest

from edgekit.passes.fuse_activation import FuseActivation
from tests.rewrites import assert_rewrites

HEAD = """
graph g(%x: float32[N,4,6,6], %q: float32[N,4,6,6])
  @w2: float32[4,4,1,1] parameter
"""

HOSTS = {
    "conv2d": "conv2d(%x, @w2",
    "conv_transpose2d": "conv_transpose2d(%x, @w2",
    "add": "add(%x, %q",
    "sub": "sub(%x, %q",
    "mul": "mul(%x, %q",
    "div": "div(%x, %q",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
@pytest.mark.parametrize(
    ("activation", "name"),
    [
        ("relu(%y)", "relu"),
        ("relu6(%y)", "relu6"),
        ("clamp(%y, low=-1.0, high=1.0)", "relu_n1_to_1"),
        ("clamp(%y, low=0.0, high=6.0)", "relu6"),
        ("clamp(%y, low=0.0)", "relu"),
    ],
)
def test_it_fuses_into_every_host(host: str, activation: str, name: str) -> None:
    assert_rewrites(
        FuseActivation(),
        f"{HEAD}\n%y = {host})\n%z = {activation}\nreturn %z",
        count=1,
        becomes=f"{HEAD}\n%z = {host}, activation='{name}')\nreturn %z",
    )


@pytest.mark.parametrize(
    ("layer", "weight", "shape"),
    [("conv1d", "4,3,2", "3,8"), ("conv_transpose1d", "3,4,2", "3,8"), ("linear", "4,3", "5,3")],
)
def test_it_fuses_into_layers_of_other_ranks(layer: str, weight: str, shape: str) -> None:
    head = f"graph g(%x: float32[N,{shape}])\n@w: float32[{weight}] parameter\n"
    assert_rewrites(
        FuseActivation(),
        f"{head}%y = {layer}(%x, @w)\n%z = relu6(%y)\nreturn %z",
        count=1,
        becomes=f"{head}%z = {layer}(%x, @w, activation='relu6')\nreturn %z",
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("%z = relu(%x)\nreturn %z", "it acts on an input"),
        ("%y = max_pool2d(%x, (2, 2), (2, 2), (0, 0), (1, 1))\n%z = relu(%y)\nreturn %z", "'max_pool2d' takes no fused"),
        ("%y = conv2d(%x, @w2)\n%z = relu(%y)\n%o = sigmoid(%y)\nreturn %z, %o", "%y has 2 readers"),
        ("%y = conv2d(%x, @w2)\n%z = relu(%y)\nreturn %z, %y", "%y has 2 readers"),
        ("%y = conv2d(%x, @w2, activation='relu6')\n%z = relu(%y)\nreturn %z", "has an activation already"),
        (
            "%y: float32[N,4,6,6] ~ int8(scale=0.1, zero_point=0) = conv2d(%x, @w2)\n%z = relu(%y)\nreturn %z",
            "%y is quantised",
        ),
    ],
)
def test_it_declines_and_says_why(body: str, reason: str) -> None:
    body = body.replace("max_pool2d(%x, (2, 2), (2, 2), (0, 0), (1, 1))", _POOL)
    assert_rewrites(FuseActivation(), f"{HEAD}\n{body}", count=0, skips=[reason])


_POOL = "max_pool2d(%x, kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1))"


def test_integers_have_no_fused_activation() -> None:
    text = "graph g(%x: int64[N,4])\n%y = add(%x, %x)\n%z = clamp(%y, low=0.0)\nreturn %z"
    assert_rewrites(FuseActivation(), text, count=0, skips=["it acts on integers"])


@pytest.mark.parametrize("bounds", ["low=0.0, high=1.0", "high=6.0", "low=-1.0", "low=0.5, high=6.0"])
def test_other_clamps_stay_ops(bounds: str) -> None:
    text = f"{HEAD}\n%y = conv2d(%x, @w2)\n%z = clamp(%y, {bounds})\nreturn %z"
    assert_rewrites(FuseActivation(), text, count=0, becomes=text)


def test_the_quantisation_of_the_activation_passes_to_the_layer() -> None:
    after = assert_rewrites(
        FuseActivation(),
        f"{HEAD}\n%y = conv2d(%x, @w2)\n%z: float32[N,4,6,6] ~ int8(scale=0.02, zero_point=-128) = relu(%y)\nreturn %z",
        count=1,
    )
    assert after.outputs[0].quant is not None and after.outputs[0].quant.scale[0] == pytest.approx(0.02)


def test_an_activation_in_the_middle_that_is_an_output_keeps_its_name() -> None:
    assert_rewrites(
        FuseActivation(),
        f"{HEAD}\n%y = conv2d(%x, @w2)\n%z = relu(%y)\n%o = sigmoid(%z)\nreturn %z, %o",
        count=1,
        becomes=f"{HEAD}\n%z = conv2d(%x, @w2, activation='relu')\n%o = sigmoid(%z)\nreturn %z, %o",
    )
