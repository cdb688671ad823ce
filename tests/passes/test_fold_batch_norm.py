"""Batch norms disappear into the layer before them, for every kind of layer and of norm, or say why they do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.ir import Where, ops
from edgekit.ir.text import parse
from edgekit.passes.fold_batch_norm import FoldBatchNorm, LowerBatchNorm
from tests.rewrites import assert_rewrites, assert_same_outputs

NORM = """
  @gamma: float32[4] parameter
  @beta: float32[4] parameter
  @mean: float32[4] buffer
  @var: float32[4] buffer
"""


def test_a_norm_after_a_convolution_without_bias_gives_it_one() -> None:
    after = assert_rewrites(
        FoldBatchNorm(),
        f"""
        graph g(%x: float32[N,3,8,8])
          @conv.weight: float32[4,3,3,3] parameter
          {NORM}
          %y = conv2d(%x, @conv.weight, none, padding=((1, 1), (1, 1)))
          %z = batch_norm(%y, @gamma, @beta, @mean, @var)
          return %z
        """,
        count=1,
        becomes="""
        graph g(%x: float32[N,3,8,8])
          @conv.weight: float32[4,3,3,3] parameter
          @conv.bias: float32[4] parameter
          %z = conv2d(%x, @conv.weight, @conv.bias, padding=((1, 1), (1, 1)))
          return %z
        """,
    )
    assert after.state["conv.bias"] is after.nodes[0].input(2)


def test_the_formula_is_gamma_over_sigma() -> None:
    after = assert_rewrites(
        FoldBatchNorm(),
        """
        graph g(%x: float32[N,1,2,2])
          @w: float32[2,1,1,1] = [1, 2]
          @b: float32[2] = [0.5, -1]
          @gamma: float32[2] = [3, -1]
          @beta: float32[2] = [10, 20]
          @mean: float32[2] = [0.25, 1]
          @var: float32[2] = [3, 15]
          %y = conv2d(%x, @w, @b)
          %z = batch_norm(%y, @gamma, @beta, @mean, @var, eps=1.0)
          return %z
        """,
        count=1,
    )
    conv = after.nodes[0]
    assert conv.input(1).tensor.flatten().tolist() == [1.5, -0.5]  # 1 * 3 / sqrt(4), 2 * -1 / sqrt(16)
    assert conv.input(2).tensor.tolist() == [(0.5 - 0.25) * 1.5 + 10, (-1 - 1) * -0.25 + 20]


@pytest.mark.parametrize("norm", ["none, none", "@gamma, none", "none, @beta"])
def test_a_norm_without_affine_parameters_is_folded_too(norm: str) -> None:
    assert_rewrites(
        FoldBatchNorm(),
        f"""
        graph g(%x: float32[N,3,8,8])
          @w: float32[4,3,3,3] parameter
          @b: float32[4] parameter
          {NORM}
          %y = conv2d(%x, @w, @b)
          %z = batch_norm(%y, {norm}, @mean, @var)
          return %z
        """,
        count=1,
        becomes="""
        graph g(%x: float32[N,3,8,8])
          @w: float32[4,3,3,3] parameter
          @b: float32[4] parameter
          %z = conv2d(%x, @w, @b)
          return %z
        """,
    )


@pytest.mark.parametrize(
    ("layer", "weight", "shape"),
    [
        ("conv1d(%x, @w, @b, stride=(2,), padding=((1, 0),))", "4,3,3", "3,9"),
        ("conv1d(%x, @w, @b, groups=4)", "4,1,3", "4,9"),
        ("conv2d(%x, @w, @b, dilation=(2, 2), groups=2)", "4,3,3,3", "6,9,9"),
        ("linear(%x, @w, @b)", "4,5", "5"),
        ("conv_transpose1d(%x, @w, @b, stride=(2,))", "3,4,3", "3,5"),
        ("conv_transpose2d(%x, @w, @b, stride=(2, 2), padding=(1, 1), output_padding=(1, 1))", "3,4,3,3", "3,5,5"),
        ("conv_transpose2d(%x, @w, @b, groups=2)", "6,2,3,3", "6,5,5"),
        ("conv_transpose1d(%x, @w, @b, groups=4)", "4,1,3", "4,5"),
    ],
)
def test_every_layer_with_output_channels_takes_a_norm(layer: str, weight: str, shape: str) -> None:
    assert_rewrites(
        FoldBatchNorm(),
        f"""
        graph g(%x: float32[N,{shape}])
          @w: float32[{weight}] parameter
          @b: float32[4] parameter
          {NORM}
          %y = {layer}
          %z = batch_norm(%y, @gamma, @beta, @mean, @var)
          return %z
        """,
        count=1,
        becomes=f"""
        graph g(%x: float32[N,{shape}])
          @w: float32[{weight}] parameter
          @b: float32[4] parameter
          %z = {layer}
          return %z
        """,
        batch=3,
    )


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, momentum=None),
        nn.BatchNorm2d(4, eps=0.5, momentum=0.9),
    ],
    ids=str,
)
@pytest.mark.parametrize("frozen", [False, True])
def test_norms_as_torch_makes_them_are_folded(norm: nn.BatchNorm2d, frozen: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm)
    model.train()
    for _ in range(3):
        model(torch.randn(4, 3, 6, 6) * 3 + 1)
    if frozen:
        norm.eval()
        for parameter in norm.parameters():
            parameter.requires_grad_(False)
    graph = ek.load(model, torch.randn(1, 3, 6, 6))
    after = assert_rewrites(FoldBatchNorm(), graph, count=1)
    assert [type(n.op) for n in after.nodes] == [ops.Conv2d]
    assert after.nodes[0].where and {w.module for w in after.nodes[0].where} == {"0", "1"}
    assert after.state["0.weight"].is_trainable and after.state["0.bias"].is_trainable


def test_the_source_keeps_its_numbers_and_the_folded_weight_is_a_parameter_of_its_own() -> None:
    before = parse(f"""
        graph g(%x: float32[N,3])
          @fc.weight: float32[4,3] parameter
          {NORM}
          %y = linear(%x, @fc.weight, none)
          %z = batch_norm(%y, @gamma, @beta, @mean, @var)
          return %z
    """)
    before.nodes[0].where, before.nodes[1].where = (Where("fc"),), (Where("bn"),)
    after = assert_rewrites(FoldBatchNorm(), before, count=1)
    assert set(after.module().state_dict()) == {"fc.weight", "gamma", "beta", "mean", "var", "fc.bias"}
    assert after.state["fc.weight"].data is not before.state["fc.weight"].data
    assert after.nodes[0].where == (Where("fc"), Where("bn"))
    after.module()(torch.randn(2, 3)).sum().backward()
    assert after.state["fc.weight"].tensor.grad is not None and before.state["fc.weight"].tensor.grad is None


def test_a_frozen_weight_without_parameters_gets_a_plain_bias() -> None:
    after = assert_rewrites(
        FoldBatchNorm(),
        f"""
        graph g(%x: float32[N,3])
          @w: float32[4,3] buffer
          {NORM}
          %y = linear(%x, @w)
          %z = batch_norm(%y, @gamma, @beta, @mean, @var)
          return %z
        """,
        count=1,
    )
    assert after.nodes[0].input(2).name == "w_bias" and "w_bias" not in after.state


def test_two_norms_in_a_row_are_folded_one_after_the_other() -> None:
    assert_rewrites(
        FoldBatchNorm(),
        f"""
        graph g(%x: float32[N,3,5])
          @w: float32[4,3,2] parameter
          {NORM}
          @var2.var: float32[4] buffer
          %y = conv1d(%x, @w)
          %z = batch_norm(%y, @gamma, @beta, @mean, @var)
          %q = batch_norm(%z, none, @beta, @mean, @var2.var)
          return %q
        """,
        count=2,
        becomes="""
        graph g(%x: float32[N,3,5])
          @w: float32[4,3,2] parameter
          @bias: float32[4] parameter
          %q = conv1d(%x, @w, @bias)
          return %q
        """.replace("@bias", "@w_bias"),
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("%y = relu(%x)\n%z = batch_norm(%y, @gamma, @beta, @mean, @var)\nreturn %z", "no convolution or linear layer"),
        ("%z = batch_norm(%x, @gamma, @beta, @mean, @var)\nreturn %z", "no convolution or linear layer"),
        ("%y = conv2d(%x, @w)\n%z = batch_norm(%y, @gamma, @beta, @mean, @var)\nreturn %z, %y", "%y has 2 readers"),
        (
            "%y = conv2d(%x, @w, activation='relu')\n%z = batch_norm(%y, @gamma, @beta, @mean, @var)\nreturn %z",
            "an activation stands between",
        ),
        (
            "%y = conv2d(%x, @w)\n%z = batch_norm(%y, @gamma, @beta, @mean, @var)\n%o = conv2d(%x, @w)\nreturn %z, %o",
            "@w is shared with another node",
        ),
        (
            "%y = conv2d(%x, @w, @beta)\n%z = batch_norm(%y, @gamma, @beta, @mean, @var)\nreturn %z",
            "@beta is shared with another node",
        ),
        ("%v = mul(@w, @w)\n%y = conv2d(%x, %v)\n%z = batch_norm(%y, none, none, @mean, @var)\nreturn %z", "%v is computed"),
        (
            "%v = mul(@var, @var)\n%y = conv2d(%x, @w)\n%z = batch_norm(%y, none, none, @mean, %v)\nreturn %z",
            "%v is computed",
        ),
        (
            "%y: float32[N,4,7,7] ~ int8(scale=0.1, zero_point=0) = conv2d(%x, @w)\n"
            "%z = batch_norm(%y, none, none, @mean, @var)\nreturn %z",
            "%y is quantised",
        ),
    ],
)
def test_it_declines_and_says_why(body: str, reason: str) -> None:
    text = f"graph g(%x: float32[N,4,8,8])\n@w: float32[4,4,2,2] parameter\n{NORM}\n{body}"
    assert_rewrites(FoldBatchNorm(), text, count=0, skips=[reason])


def test_a_norm_over_the_rows_of_a_linear_layer_is_not_one_of_its_features() -> None:
    assert_rewrites(
        FoldBatchNorm(),
        f"""
        graph g(%x: float32[N,4,3])
          @w: float32[4,3] parameter
          {NORM}
          %y = linear(%x, @w)
          %z = batch_norm(%y, @gamma, @beta, @mean, @var)
          return %z
        """,
        count=0,
        skips=["the channels of the norm are not the features of the linear layer"],
    )


def test_a_quantised_weight_is_left_alone() -> None:
    text = f"""
        graph g(%x: float32[N,4])
          @w: float32[4,4] ~ int8(scale=0.1, zero_point=0) parameter
          {NORM}
          %y = linear(%x, @w)
          %z = batch_norm(%y, @gamma, @beta, @mean, @var)
          return %z
    """
    assert_rewrites(FoldBatchNorm(), text, count=0, skips=["@w is quantised"])


def test_the_quantisation_of_the_norm_passes_to_the_layer() -> None:
    after = assert_rewrites(
        FoldBatchNorm(),
        f"""
        graph g(%x: float32[N,4])
          @w: float32[4,4] parameter
          {NORM}
          %y = linear(%x, @w)
          %z: float32[N,4] ~ int8(scale=0.1, zero_point=3) = batch_norm(%y, @gamma, @beta, @mean, @var)
          return %z
        """,
        count=1,
    )
    assert after.outputs[0].quant is not None and after.outputs[0].quant.zero_point == (3,)


def test_a_product_that_float32_cannot_hold_is_not_folded() -> None:
    assert_rewrites(
        FoldBatchNorm(),
        """
        graph g(%x: float32[N,1])
          @w: float32[1,1] = [1e30]
          @mean: float32[1] = [0]
          @var: float32[1] = [0]
          %y = linear(%x, @w)
          %z = batch_norm(%y, none, none, @mean, @var, eps=1e-30)
          return %z
        """,
        count=0,
        skips=["too large"],
        tolerance=float("inf"),
    )


def test_the_given_graph_still_trains_with_its_norm() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    graph = ek.load(model, torch.randn(1, 3, 6, 6))
    folded, _ = FoldBatchNorm().run(graph)
    module = graph.module().train()
    module(torch.randn(8, 3, 6, 6) * 5)
    assert not torch.equal(graph.state["1.running_var"].tensor, torch.ones(4))
    assert torch.isfinite(folded.nodes[0].input(1).tensor).all()


@pytest.mark.parametrize("shape", ["4", "4,9", "4,5,5"])
def test_a_norm_that_stays_becomes_a_product_and_a_sum(shape: str) -> None:
    constant = ",".join(["4", *["1"] * shape.count(",")])
    after = assert_rewrites(
        LowerBatchNorm(),
        f"""
        graph g(%x: float32[N,{shape}])
          {NORM}
          %y = relu(%x)
          %z = batch_norm(%y, @gamma, @beta, @mean, @var)
          return %z
        """,
        count=1,
        becomes=f"""
        graph g(%x: float32[N,{shape}])
          @s: float32[{constant}]
          @o: float32[{constant}]
          %y = relu(%x)
          %z_scaled = mul(%y, @s)
          %z = add(%z_scaled, @o)
          return %z
        """,
    )
    assert_same_outputs(parse(str(after), {v.name: v.tensor.detach() for v in after.constants()}), after, batch=5)


def test_a_quantised_norm_is_not_taken_apart() -> None:
    text = f"""
        graph g(%x: float32[N,4])
          {NORM}
          %z: float32[N,4] ~ int8(scale=0.1, zero_point=3) = batch_norm(%x, @gamma, @beta, @mean, @var)
          return %z
    """
    assert_rewrites(LowerBatchNorm(), text, count=0, skips=["%z is quantised"])
