"""Values between which integers are copied share one scale; what has fixed scales keeps them."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.quantize.policy import ONNXRUNTIME
from edgekit.ir import QuantParams, ops
from tests.compress.quantize.prepared import of_kind, quantized, sqnr

HEAD = "graph g(%x: float32[N,4,6,6])\n@w: float32[4,4,3,3] parameter\n%c = conv2d(%x, @w, padding=((1, 1), (1, 1)))\n"

MOVERS = [
    "reshape(%c, shape=(N, 144))",
    "permute(%c, dims=(0, 2, 3, 1))",
    "slice(%c, starts=(0, 0, 0, 0), stops=(N, 4, 6, 6), steps=(1, 2, 1, 1))",
    "pad(%c, pads=((0, 0), (0, 0), (1, 1), (1, 1)))",
    "pad(%c, pads=((0, 0), (0, 0), (1, 1), (1, 1)), mode='reflect')",
    "tile(%c, repeats=(1, 1, 2, 1))",
    "flip(%c, axes=(2,))",
    "roll(%c, shifts=(1,), axes=(3,))",
    "resize(%c, size=(12, 12))",
    "resize(%c, size=(12, 12), mode='bilinear')",
    "pixel_shuffle(%c, factor=2)",
    "max_pool2d(%c, kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1))",
    "avg_pool2d(%c, kernel=(2, 2), stride=(2, 2), padding=(0, 0))",
    "adaptive_max_pool2d(%c, size=(4, 4))",
    "clamp(%c, low=-0.5, high=0.75)",
    "amax(%c, axes=(2,))",
]


@pytest.mark.parametrize("mover", MOVERS, ids=lambda text: text.split("(")[0])
def test_a_mover_gives_the_scale_that_it_takes(mover: str) -> None:
    after, _ = quantized(f"{HEAD}%y = {mover}\n%z = sigmoid(%y)\nreturn %z")
    (node,) = [n for n in after.nodes if n.op.name == mover.split("(")[0]]
    assert node.input(0).quant is not None and node.input(0).quant == node.output.quant


def test_all_parts_of_a_split_share_its_scale() -> None:
    after, _ = quantized(f"{HEAD}%a, %b = split(%c, axis=1, sizes=(1, 3))\n%y = sigmoid(%a)\n%z = sigmoid(%b)\nreturn %y, %z")
    (split,) = of_kind(after, ops.Split)
    assert {v.quant for v in split.outputs} == {split.input(0).quant}


@pytest.mark.parametrize("join", ["concat(%c, %d, axis=1)", "maximum(%c, %d)", "minimum(%c, %d)"])
def test_what_is_joined_shares_one_scale(join: str) -> None:
    after, _ = quantized(f"{HEAD}%d = conv2d(%c, @w, padding=((1, 1), (1, 1)))\n%y = {join}\nreturn %y")
    node = next(n for n in after.nodes if n.op.name == join.split("(")[0])
    assert {v.quant for v in (*node.inputs, *node.outputs) if v is not None} == {node.output.quant}
    assert not of_kind(after, ops.Identity)


@pytest.mark.parametrize(
    ("op", "scale", "zero_point"), [("sigmoid", 1 / 256, -128), ("tanh", 1 / 128, 0), ("softmax", 1 / 256, -128)]
)
def test_outputs_with_a_fixed_scale_have_it(op: str, scale: float, zero_point: int) -> None:
    after, _ = quantized(f"{HEAD}%r = reshape(%c, shape=(N, 144))\n%y = {op}(%r)\nreturn %y")
    assert after.outputs[0].quant == QuantParams("int8", (scale,), (zero_point,))


def test_a_fixed_scale_goes_through_movers() -> None:
    after, _ = quantized(f"{HEAD}%s = sigmoid(%c)\n%y = reshape(%s, shape=(N, 144))\nreturn %y")
    assert after.outputs[0].quant == QuantParams("int8", (1 / 256,), (-128,))


def test_where_a_fixed_scale_meets_another_a_requantisation_stands_between() -> None:
    after, _ = quantized(f"{HEAD}%s = sigmoid(%c)\n%y = concat(%s, %c, axis=1)\nreturn %y")
    (border,) = of_kind(after, ops.Identity)
    assert border.input(0).name == "s" and border.output.name == "s.rescaled"
    assert border.output.quant == after.outputs[0].quant != border.input(0).quant


def test_equal_fixed_scales_meet_without_any() -> None:
    after, _ = quantized(f"{HEAD}%s = sigmoid(%c)\n%t = sigmoid(%x)\n%y = concat(%s, %t, axis=1)\nreturn %y")
    assert not of_kind(after, ops.Identity)
    assert after.outputs[0].quant == QuantParams("int8", (1 / 256,), (-128,))


def test_the_known_scale_of_an_input_does_not_spread_to_what_it_is_joined_with() -> None:
    known = QuantParams("int8", (1 / 255,), (-128,))
    batches = [[torch.rand(16, 4, 6, 6)]]
    after, _ = quantized(f"{HEAD}%y = concat(%x, %c, axis=1)\nreturn %y", batches=batches, input_params={"x": known})
    assert after.inputs[0].quant == known
    (conv,) = of_kind(after, ops.Conv2d)
    assert conv.output.quant is not None and conv.output.quant.range[1] > 1.5
    assert [n.output.name for n in of_kind(after, ops.Identity)] == ["x.rescaled"]


def test_rows_of_a_table_that_calibration_did_not_read_are_covered() -> None:
    table = torch.randn(50, 8)
    table[49] = 100.0
    text = (
        "graph g(%i: int64[N,3])\n@t: float32[50,8] parameter\n@w: float32[4,8]\n%e = gather(@t, %i)\n"
        "%y = linear(%e, @w)\nreturn %y"
    )
    from edgekit.ir.text import parse

    graph = parse(text, {"t": table, "w": torch.randn(4, 8)})
    after, _ = quantized(graph, batches=[[torch.arange(48).reshape(16, 3)]])
    (gather,) = of_kind(after, ops.Gather)
    assert gather.input(0).quant == gather.output.quant and gather.output.quant is not None
    assert gather.output.quant.range[1] > 35.0


@pytest.mark.parametrize("observer", ["min_max", "percentile", "mse", "output_error"])
def test_every_observer_makes_a_working_network(observer: str) -> None:
    from edgekit.compress.quantize.post_training import PostTraining
    from tests.compress.quantize.prepared import prepared

    text = (
        f"{HEAD}%r = relu(%c)\n%d = conv2d(%r, @w, padding=((1, 1), (1, 1)))\n%a = add(%d, %c)\n"
        f"%y = mean(%a, axes=(2, 3))\nreturn %y"
    )
    after, _ = quantized(text, options=PostTraining(observer))
    assert sqnr(after, prepared(text)) > 25.0


def test_onnx_runtime_gets_the_same_scales() -> None:
    text = f"{HEAD}%r = relu(%c)\n%y = mean(%r, axes=(2, 3))\nreturn %y"
    first, _ = quantized(text)
    second, _ = quantized(text, policy=ONNXRUNTIME)
    assert [v.quant for v in first.values()] == [v.quant for v in second.values()]
