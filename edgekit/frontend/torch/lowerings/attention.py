"""Scaled dot-product attention."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(aten.scaled_dot_product_attention.default)
def scaled_dot_product_attention(
    ctx: Lowering,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Result:
    """The dropout is the training's: an inference trace has none, ``nn.MultiheadAttention`` knows its own."""
    ctx.need(
        dropout_p == 0.0,
        "drops at random in inference as well",
        "pass dropout_p=self.p if self.training else 0.0; a .pt2 must be exported after model.eval()",
    )
    _need_fixed_length(ctx, query, key)
    own = ctx.module.dropout if isinstance(ctx.module, nn.MultiheadAttention) else 0.0
    if enable_gqa:
        key, value = (_repeated(ctx, x, query) for x in (key, value))
    op = ops.Attention(scale=scale, causal=is_causal, dropout=float(ctx.training_argument("dropout_p", own)))
    return ctx.add(op, query, key, value, attn_mask)


@lowers(aten._scaled_dot_product_flash_attention_for_cpu.default)
def flash_attention(
    ctx: Lowering,
    query: Value,
    key: Value,
    value: Value,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Value | None = None,
    scale: float | None = None,
) -> Result:
    """Decomposed programs; the second result is for the gradient."""
    ctx.need(dropout_p == 0.0, "drops at random in inference as well", "export after model.eval()")
    _need_fixed_length(ctx, query, key)
    return ctx.add(ops.Attention(scale=scale, causal=is_causal), query, key, value, attn_mask), None


def _need_fixed_length(ctx: Lowering, query: Value, key: Value) -> None:
    fixed = isinstance(query.shape[-2], int) and isinstance(key.shape[-2], int)
    ctx.need(fixed, "attends over the batch", "say which axis is the batch: batch_axes={name: 1}")


def _repeated(ctx: Lowering, x: Value, query: Value) -> Value:
    """Grouped queries: a head of keys and values serves several heads of queries (Ainslie et al. 2023, arXiv:2305.13245)."""
    heads, wanted = x.tensor_shape[-3], query.tensor_shape[-3]
    if heads == wanted:
        return x
    lead, (length, width) = x.shape[:-3], x.shape[-2:]
    wide = ctx.expand(ctx.reshape(x, (*lead, heads, 1, length, width)), (*lead, heads, wanted // heads, length, width))
    return ctx.reshape(wide, (*lead, wanted, length, width))
