"""``nn.MultiheadAttention`` written so that its trace is what a runtime should run.

torch's own forward puts time before batch and merges batch and heads, which leaves eight transposes and a dozen views in a
trace. With ``batch_first`` none of them is needed. The weights that it returns are computed beside the output, so they cost
nothing where nobody reads them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn


@contextmanager
def plain_attention(model: nn.Module) -> Iterator[None]:
    """Inside the block, attention layers of a model run the forward of this file."""
    layers = [part for part in model.modules() if type(part) is nn.MultiheadAttention and "forward" not in part.__dict__]
    for layer in layers:
        layer.forward = functools.partial(_forward, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(
    self: nn.MultiheadAttention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_padding_mask: torch.Tensor | None = None,
    need_weights: bool = True,
    attn_mask: torch.Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """query (N, L, E), key and value (N, S, ...) -> output (N, L, E), weights (N, L, S) or (N, heads, L, S)."""
    mask = attn_mask
    usual = self.batch_first and query.dim() == 3 and self.bias_k is None and not self.add_zero_attn
    if not usual or (mask is not None and mask.dim() != 2) or (is_causal and mask is None):
        return nn.MultiheadAttention.forward(
            self, query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
        )
    causal = is_causal and key_padding_mask is None and not need_weights
    added = None if causal else _added(mask, query.dtype)
    if key_padding_mask is not None:
        padding = _added(key_padding_mask, query.dtype)
        assert padding is not None
        rows = padding[:, None, None, :]
        added = rows if added is None else added + rows
    q, k, v = (x.view(x.shape[0], x.shape[1], self.num_heads, -1).transpose(1, 2) for x in _projected(self, query, key, value))
    dropout = self.dropout if self.training else 0.0
    out = F.scaled_dot_product_attention(q, k, v, added, dropout, causal)
    out = F.linear(out.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias)
    if not need_weights:
        return out, None
    scores = q * (1.0 / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
    weights = torch.softmax(scores if added is None else scores + added, dim=-1)
    return out, weights.mean(1) if average_attn_weights else weights


def _projected(
    layer: nn.MultiheadAttention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Queries, keys and values; in one product where they are of one tensor."""
    weight, bias, width = layer.in_proj_weight, layer.in_proj_bias, layer.embed_dim
    if weight is None:
        weights = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
        biases = (None, None, None) if bias is None else bias.chunk(3)
        return tuple(F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
    if query is key and key is value:
        return F.linear(query, weight, bias).chunk(3, -1)
    parts = [width, 2 * width] if key is value else [width, width, width]
    biases = (None,) * len(parts) if bias is None else torch.split(bias, parts)
    products = [F.linear(x, w, b) for x, w, b in zip((query, key, value), torch.split(weight, parts), biases, strict=False)]
    return (products[0], *products[1].chunk(2, -1)) if key is value else tuple(products)


def _added(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """A mask as numbers to add: minus infinity where a bool mask holds."""
    if mask is None or mask.is_floating_point():
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -math.inf)
