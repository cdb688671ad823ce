"""Where integers begin and end is explicit, named and complete."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.quantize.borders import decide
from edgekit.compress.quantize.policy import LITERT, ONNXRUNTIME, TFLM, Policy
from edgekit.errors import Unsupported
from edgekit.ir import Where, ops, simulate
from edgekit.ir.text import parse
from edgekit.metrics import sqnr_db
from tests.compress.quantize.prepared import of_kind, prepared, quantized, sqnr
from tests.passes.random_networks import network
from tests.rewrites import random_inputs

NORM = """
graph g(%x: float32[N,5,8])
  @w: float32[8,8] parameter
  @g: float32[8] parameter
  @b: float32[8] parameter
  %h = linear(%x, @w)
  %n = layer_norm(%h, @g, @b)
  %y = linear(%n, @w)
  return %y
"""


@pytest.mark.parametrize("policy", [LITERT, ONNXRUNTIME], ids=lambda p: p.runtime)
@pytest.mark.parametrize("integer_io", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_every_node_of_random_networks_is_integer_or_float(seed: int, integer_io: bool, policy: Policy) -> None:
    graph = prepared(network(seed, 10))
    batches = [[x.clamp(-2, 2) for x in random_inputs(graph, 8)]]
    after, record = quantized(graph, batches=batches, integer_io=integer_io, policy=policy)
    assert [v.name for v in after.inputs] == [v.name for v in graph.inputs]
    assert [v.name for v in after.outputs] == [v.name for v in graph.outputs]
    assert all(island.reason and island.where for island in record.islands)


def test_a_float_island_is_fenced_by_identities_and_named_with_its_reason() -> None:
    graph = parse(NORM)
    graph.nodes[1].where = (Where("block.norm", "net.py", 5, "forward"),)
    after, record = quantized(graph)
    assert [n.op.name for n in after.nodes] == ["linear", "identity", "layer_norm", "identity", "linear"]
    there, back = of_kind(after, ops.Identity)
    assert (there.name, back.name) == ("h.float", "n.quantized")
    (island,) = record.islands
    assert (island.value, island.op, island.where) == ("n", "layer_norm", graph.nodes[1].where)
    assert "loses 6-10 dB" in island.reason
    assert sqnr(after, prepared(NORM)) > 30.0


STREAM = """
graph g(%x: float32[N,5,8])
  @w: float32[8,8] parameter
  @v: float32[8,8] parameter
  @g: float32[8] parameter
  @b: float32[8] parameter
  @p: float32[5,8] parameter
  %e = linear(%x, @w)
  %s = add(%e, @p)
  %m = layer_norm(%s, @g, @b)
  %h = linear(%m, @w)
  %t = add(%s, %h)
  %n = layer_norm(%t, @g, @b)
  %y = linear(%n, @v)
  return %y
"""


def test_what_float_layers_read_is_summed_up_in_float_for_no_more_conversions() -> None:
    for policy in (LITERT, ONNXRUNTIME):
        after, record = quantized(STREAM, policy=policy)
        assert after.value("s").quant is None and after.value("t").quant is None
        assert after.value("e").quant is not None and after.value("h").quant is not None
        assert [n.name for n in of_kind(after, ops.Identity)] == ["e.float", "m.quantized", "h.float", "n.quantized"]
        assert [i.value for i in record.islands if "all that reads it is float" in i.reason] == ["s", "t"]


def test_a_sum_that_integers_read_too_or_of_two_integers_stays_an_integer() -> None:
    after, _ = quantized(STREAM.replace("return %y", "%z = linear(%t, @w)\n  return %y, %z"))
    assert after.value("t").quant is not None
    after, _ = quantized(STREAM.replace("%t = add(%s, %h)", "%k = linear(%m, @v)\n  %t = add(%k, %h)"))
    assert after.value("t").quant is not None


def test_products_under_a_variance_stay_float_and_gates_of_integer_layers_are_integers() -> None:
    """8 bits of w x^2 keep its largest elements, and the others make up the sum."""
    text = (
        "graph g(%x: float32[N,8])\n@w: float32[8,8]\n%h = linear(%x, @w)\n%g = sigmoid(%h)\n%s = square(%h)\n"
        "%p = mul(%s, %g)\n%q = sum(%p, axes=(1,), keepdim=True)\n%d = mul(%h, %g)\n%z = linear(%d, @w)\nreturn %q, %z"
    )
    for policy in (LITERT, ONNXRUNTIME):
        after, record = quantized(text, policy=policy)
        assert after.value("p").quant is None and after.value("d").quant is not None
        assert [i.value for i in record.islands if "all that reads it is float" in i.reason] == ["p"]
        assert "s.quantized" not in {node.name for node in after.nodes}


def test_a_value_that_several_float_nodes_read_is_converted_once() -> None:
    after, _ = quantized(
        "graph g(%x: float32[N,8])\n@w: float32[8,8]\n%h = linear(%x, @w)\n%a = exp(%h)\n%b = sin(%h)\n%c = mul(%a, %b)\n"
        "%y = linear(%c, @w)\nreturn %y"
    )
    assert [n.name for n in of_kind(after, ops.Identity)] == ["h.float", "c.quantized"]
    assert after.value("c").quant is None  # a product of floats is too cheap to convert for


def test_float_inputs_and_outputs_have_their_border_inside() -> None:
    after, _ = quantized(NORM, integer_io=False)
    assert after.nodes[0].input(0) is after.inputs[0] and isinstance(after.nodes[0].op, ops.Identity)
    assert isinstance(after.nodes[-1].op, ops.Identity) and after.outputs[0].name == "y"


def test_an_output_that_is_also_read_inside_keeps_its_name_and_its_readers() -> None:
    text = "graph g(%x: float32[N,8])\n@w: float32[8,8]\n%h = linear(%x, @w)\n%y = linear(%h, @w)\nreturn %y, %h"
    after, _ = quantized(text, integer_io=False)
    assert [v.name for v in after.outputs] == ["y", "h"]
    assert all(isinstance(v.producer.op, ops.Identity) for v in after.outputs if v.producer)
    assert of_kind(after, ops.Linear)[1].input(0).quant is not None


def test_one_value_that_is_two_outputs_stays_one_value() -> None:
    text = "graph g(%x: float32[N,8])\n@w: float32[8,8]\n%y = linear(%x, @w)\nreturn %y, %y"
    after, _ = quantized(text, integer_io=False)
    assert after.outputs[0] is after.outputs[1] and after.outputs[0].name == "y"


def test_a_float_output_of_an_integer_file_is_quantised() -> None:
    after, _ = quantized("graph g(%x: float32[N,8])\n@w: float32[8,8]\n%h = linear(%x, @w)\n%y = exp(%h)\nreturn %y")
    assert after.outputs[0].name == "y" and after.outputs[0].quant is not None


def test_integers_and_booleans_pass_by() -> None:
    after, _ = quantized(
        "graph g(%x: float32[N,8], %i: int64[N])\n@w: float32[8,8]\n@one: int64[] = 1\n%h = linear(%x, @w)\n%k = argmax(%h)\n"
        "%j = add(%i, @one)\nreturn %k, %j",
    )
    assert all(v.quant is None for v in (*after.outputs, after.inputs[1]))


def test_a_layer_with_computed_weights_stays_float_and_says_so() -> None:
    after, record = quantized(
        "graph g(%x: float32[N,8], %v: float32[8,8])\n@w: float32[8,8]\n%h = linear(%x, @w)\n%y = linear(%h, %v)\nreturn %y",
        batches=[[torch.randn(4, 8), torch.randn(8, 8)]],
    )
    assert [i.reason for i in record.islands] == ["its weight is computed, not constant"]
    assert of_kind(after, ops.Linear)[1].input(0).quant is None


def test_movers_stay_with_what_they_move() -> None:
    after, _ = quantized(
        "graph g(%x: float32[N,8])\n@w: float32[8,8]\n%h = linear(%x, @w)\n%e = exp(%h)\n%r = reshape(%e, shape=(N, 2, 4))\n"
        "%s = slice(%r, starts=(0, 0, 0), stops=(N, 1, 4), steps=(1, 1, 1))\n%l = log(%s)\nreturn %l",
        integer_io=False,
    )
    assert after.value("r").quant is None and after.value("s").quant is None


def test_a_runtime_without_islands_refuses_all_of_them_at_once_by_name_and_place() -> None:
    graph = parse(
        "graph g(%x: float32[N,8])\n@w: float32[8,8]\n@g: float32[8]\n@b: float32[8]\n%h = linear(%x, @w)\n"
        "%n = layer_norm(%h, @g, @b)\n%u = gelu(%n)\n%y = linear(%u, @w)\nreturn %y"
    )
    for index, node in enumerate(graph.nodes):
        node.where = (Where(f"layer{index}", "net.py", 10 + index, "forward"),)
    with pytest.raises(Unsupported) as error:
        decide(graph, TFLM, {"x"})
    assert error.value.exit_code == 4
    assert error.value.what.startswith(
        "TFLite Micro can't run these ops in integers: 'layer_norm' (TFLite Micro has no operator"
    )
    assert "'gelu' (TFLite Micro has no operator for it)" in error.value.what
    assert error.value.where == "layer1 (net.py:11, in forward): 'layer_norm'\nlayer2 (net.py:12, in forward): 'gelu'"
    hint = error.value.hint or ""
    assert "'layer_norm': a batch norm" in hint and "tflite-int8" in hint and "tflite-fp32" in hint


def test_a_mask_that_the_model_computes_stays_float_with_what_it_is_added_to() -> None:
    text = (
        "graph g(%x: float32[N,4], %m: bool[N,4])\n@w: float32[4,4]\n@low: float32[] = {low}\n@zero: float32[] = 0.0\n"
        "%h = linear(%x, @w)\n%b = where(%m, @low, %h)\n%z = where(%m, @low, @zero)\n%r = reshape(%z, shape=(N, 4))\n"
        "%s = add(%h, %r)\n%y = softmax(%s)\nreturn %y"
    )
    inputs = [torch.randn(16, 4), torch.arange(64).reshape(16, 4) % 4 > 2]
    for low in ("-1e9", "-inf"):
        graph = prepared(text.replace("{low}", low))
        after, record = quantized(graph, batches=[inputs], policy=ONNXRUNTIME)
        assert [i.value for i in record.islands if "adds a mask" in i.reason] == ["s"]
        with torch.no_grad():
            (wanted,) = graph.module().eval().run(inputs)
        assert sqnr_db(wanted.numpy(), simulate(after, *inputs).numpy()) > 20.0


def test_a_network_of_integer_ops_alone_suits_that_runtime() -> None:
    after, record = quantized(
        "graph g(%x: float32[N,8])\n@w: float32[8,8]\n%h = linear(%x, @w)\n%r = hardswish(%h)\n%a = add(%r, %x)\n"
        "%y = softmax(%a)\n"
        "return %y",
        policy=TFLM,
    )
    assert not record.islands and not of_kind(after, ops.Identity)
    assert after.nodes[0].input(1).quant is not None and after.nodes[0].input(1).quant.axis is None
