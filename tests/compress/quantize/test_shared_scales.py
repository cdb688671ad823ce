"""How far a scale that all channels of a linear layer share reaches."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.policy import LITERT, TFLM
from edgekit.compress.quantize.shared_scales import SHARES, clipped_shares
from edgekit.ir import Graph, ops
from edgekit.ir.text import parse
from tests.compress.quantize.prepared import of_kind, prepared, quantized, sqnr

TEXT = "graph g(%x: float32[N,64])\n@w: float32[256,64]\n@b: float32[256]\n%y = linear(%x, @w, @b)\nreturn %y"


def weights(outlier: float) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    weight = torch.randn(256, 64) * 0.1
    weight[3, 5] = outlier
    return {"w": weight, "b": torch.zeros(256)}


def share(graph: Graph, *, centred: bool = True) -> float:
    graph = prepared(graph)
    batches = [[torch.randn(64, 64, generator=torch.Generator().manual_seed(seed))] for seed in range(4)]
    return clipped_shares(graph, batches, of_kind(graph, ops.Linear), Layers(graph), centred=centred)["y"]


def test_a_weight_that_makes_all_others_coarse_is_clipped_and_weights_of_one_size_are_not() -> None:
    assert share(parse(TEXT, weights(0.5))) < 1.0
    assert share(parse(TEXT, {"w": 0.1 * weights(0.5)["w"].sign(), "b": torch.zeros(256)})) == 1.0


def test_clipping_is_worth_it_on_data_that_it_did_not_see() -> None:
    before = prepared(parse(TEXT, weights(0.5)))
    clipped, _ = quantized(before, policy=TFLM)
    node = clipped.nodes[0]
    quant = node.input(1).quant
    assert quant is not None and quant.scale[0] < 0.5 / 127
    plain = clipped.copy()
    constant = plain.nodes[0].input(1)
    constant.quant = dataclasses.replace(quant, scale=(0.5 / 127,))
    assert plain.nodes[0].input(2).quant is not None
    plain.nodes[0].input(2).quant = dataclasses.replace(
        plain.nodes[0].input(2).quant, scale=(plain.nodes[0].input(0).quant.scale[0] * constant.quant.scale[0],)
    )
    assert sqnr(clipped, before) > sqnr(plain, before) + 0.05


def test_rows_that_a_relu_holds_at_zero_do_not_count() -> None:
    """The row with the large weight never acts, so nothing is lost by clipping it as far as is tried."""
    text = TEXT.replace("linear(%x, @w, @b)", "linear(%x, @w, @b, activation='relu')")
    data = weights(20.0)
    data["b"][3] = -1e4
    assert share(parse(text, data)) == pytest.approx(min(SHARES))


def test_a_weight_that_two_layers_read_is_stored_once() -> None:
    torch.manual_seed(0)
    square = torch.randn(16, 16)
    square[0, 0] = 5.0
    text = "graph g(%x: float32[N,16])\n@w: float32[16,16]\n%a = linear(%x, @w)\n%y = linear(%a, @w)\nreturn %y"
    after, _ = quantized(parse(text, {"w": square}), policy=TFLM)
    first, second = of_kind(after, ops.Linear)
    assert first.input(1).quant == second.input(1).quant


def test_layers_are_shared_by_name_whatever_the_policy() -> None:
    text = (
        "graph g(%x: float32[N,16])\n@w: float32[16,16]\n@v: float32[16,16]\n"
        "%a = linear(%x, @w)\n%y = linear(%a, @v)\nreturn %y"
    )
    from edgekit.compress.quantize.post_training import quantize

    graph = prepared(text)
    after, _ = quantize(graph, [[torch.randn(16, 16)]], policy=LITERT, shared=("y",))
    own, one = of_kind(after, ops.Linear)
    assert own.input(1).quant is not None and own.input(1).quant.per_channel
    assert one.input(1).quant is not None and not one.input(1).quant.per_channel
