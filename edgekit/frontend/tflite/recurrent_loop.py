"""GRU and RNN layers that edgekit itself has written as loops: they come back as the layers that they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes, plain
from edgekit.frontend.tflite.loop_body import PRODUCTS, STATE, STEP, Product, loop_of, scaled
from edgekit.ir import Value, ops


def recurrent_layer(
    ctx: Lowering, condition: int, body: int, carried: Sequence[Held | Sizes]
) -> tuple[Held | Sizes, ...] | None:
    """What the loop gives, computed by a layer of the graph; None where it is another loop."""
    subgraphs = ctx.building.model.subgraphs
    tensors = [x for x in carried if isinstance(x, Held)]
    if not (0 < condition < len(subgraphs) and 0 < body < len(subgraphs)) or len(tensors) != len(carried):
        return None
    loop = loop_of(subgraphs[condition], subgraphs[body]) if len(tensors) in (3, 4) else None
    if loop is None:
        return None
    products, start = tensors[PRODUCTS].value, ctx.plain(tensors[STEP])
    inputs = _inputs(ctx, products)
    time = 1 if loop.op.batch_first else 0
    if inputs is None or not tensors[PRODUCTS].is_plain or products.type.rank != 3 or products.shape[time] != loop.steps:
        return None
    if not ctx.is_known(start) or bool(start.tensor.any()):
        return None
    x, given = inputs
    op = replace(loop.op, bias=given.bias is not None or loop.recurrent.bias is not None)
    state = ctx.plain(tensors[STATE])
    known = ctx.is_known(state)
    if state.type.rank != 2 or (known and bool(state.tensor.any())):
        return None
    initial = None if known else ctx.reshape(state, (1, *state.shape))
    node = ctx.add_node(op, x, initial, *_weights(ctx, op, given, loop.recurrent))
    last = plain(ctx.reshape(node.outputs[1], node.outputs[1].shape[1:]))
    after = plain(ctx.constant(torch.full_like(start.tensor, loop.steps), "step"))
    return (after, last, tensors[PRODUCTS], plain(node.outputs[0]))[: len(carried)]


def _weights(ctx: Lowering, op: ops.Gru | ops.Rnn, given: Product, recurrent: Product) -> list[Value]:
    """The layer's parameters in torch's order."""
    made = []
    for product, name in ((given, "weight_ih"), (recurrent, "weight_hh")):
        weight = ctx.constant(product.weight, "stored")
        weight.quant = product.quant
        made.append(ctx.parameter(weight, name))
    if op.bias:
        for product, name in ((given, "bias_ih"), (recurrent, "bias_hh")):
            bias = torch.zeros(op.GATES * op.hidden) if product.bias is None else product.bias
            made.append(ctx.parameter(ctx.constant(bias, "stored"), name))
    return made


def _inputs(ctx: Lowering, products: Value) -> tuple[Value, Product] | None:
    """What the products before the loop are made of: ``linear``, or (8-bit weights) that times constants, plus others."""
    bias, scales, value = None, None, products
    node = value.producer
    if node is not None and isinstance(node.op, ops.Add) and node.input(1).is_constant:
        bias, value = node.input(1).tensor.detach(), node.input(0)
        node = value.producer
    if node is not None and isinstance(node.op, ops.Mul) and node.input(1).is_constant:
        scales, value = node.input(1).tensor.detach(), node.input(0)
        node = value.producer
    if node is None or not isinstance(node.op, ops.Linear) or node.op.activation != "none" or value.quant is not None:
        return None
    weight, own = node.input(1), node.optional(2)
    if not weight.is_constant or (own is not None and (bias is not None or scales is not None)):
        return None
    own_bias = bias if own is None else own.tensor.detach()
    return node.input(0), scaled(Product(weight.tensor.detach(), weight.quant, own_bias), scales)
