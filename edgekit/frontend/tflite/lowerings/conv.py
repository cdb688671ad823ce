"""Convolutions."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import Padding
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held
from edgekit.frontend.tflite.lowerings.dilation import Spread
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.frontend.tflite.windows import pads, spatial
from edgekit.ir import Value, ops


@lowers(Op.CONV_2D)
def conv_2d(
    ctx: Lowering,
    input: Held,
    filter: Held,
    bias: Held | None = None,
    *,
    padding: int = 0,
    stride_w: int = 0,
    stride_h: int = 0,
    fused_activation_function: int = 0,
    dilation_w_factor: int = 1,
    dilation_h_factor: int = 1,
) -> Result:
    """input (N, H, W, C), filter (O, KH, KW, C / groups)."""
    x = ctx.channels_first(input)
    depth = filter.shape[3] if filter.rank == 4 else 0
    channels = x.shape[1]
    if not isinstance(depth, int) or not isinstance(channels, int) or depth < 1 or channels % depth:
        raise ctx.damaged(f"a filter {filter.shape} for {input.shape}")
    weight = ctx.parameter(ctx.plain(filter), "weight", (0, 3, 1, 2))
    window = Window(padding, (stride_h, stride_w), (dilation_h_factor, dilation_w_factor))
    return _convolved(ctx, input, x, weight, bias, window, channels // depth, fused_activation_function)


@lowers(Op.DEPTHWISE_CONV_2D)
def depthwise_conv_2d(
    ctx: Lowering,
    input: Held,
    filter: Held,
    bias: Held | None = None,
    *,
    padding: int = 0,
    stride_w: int = 0,
    stride_h: int = 0,
    depth_multiplier: int = 0,
    fused_activation_function: int = 0,
    dilation_w_factor: int = 1,
    dilation_h_factor: int = 1,
) -> Result:
    """input (N, H, W, C), filter (1, KH, KW, C * multiplier): channel c gives results c * multiplier and on."""
    x = ctx.channels_first(input)
    channels = x.shape[1]
    results = filter.shape[3] if filter.rank == 4 and filter.shape[0] == 1 else 0
    if not isinstance(channels, int) or not isinstance(results, int) or channels < 1 or results < 1 or results % channels:
        raise ctx.damaged(f"a filter {filter.shape} for {input.shape}")
    weight = ctx.parameter(ctx.plain(filter), "weight", (3, 0, 1, 2))
    window = Window(padding, (stride_h, stride_w), (dilation_h_factor, dilation_w_factor))
    return _convolved(ctx, input, x, weight, bias, window, channels, fused_activation_function)


@dataclass(frozen=True)
class Window:
    """How a convolution slides: SAME or VALID, and (height, width) of stride and dilation."""

    padding: int
    stride: tuple[int, int]
    dilation: tuple[int, int]


def _convolved(
    ctx: Lowering, input: Held, x: Value, weight: Value, bias: Held | None, window: Window, groups: int, fused: int
) -> Held:
    if isinstance(input, Spread):
        plain = (window.padding, window.stride, window.dilation) == (Padding.VALID, (1, 1), (1, 1))
        ctx.need(plain and input.around is not None, "over parts of an image, with padding, strides or dilation of its own")
        assert input.around is not None
        op = ops.Conv2d((1, 1), input.around, input.block, groups)
        made = ctx.channels_last(ctx.with_activation(op, fused, x, weight, ctx.bias(bias, x, weight, 0)))
        return Spread(made.value, made.order, input.block, None)
    reach = [(int(k) - 1) * d + 1 for k, d in zip(weight.shape[2:], window.dilation, strict=True)]
    op = ops.Conv2d(window.stride, pads(ctx, x, window.padding, reach, window.stride), window.dilation, groups)
    return ctx.channels_last(ctx.with_activation(op, fused, x, weight, ctx.bias(bias, x, weight, 0)))


@lowers(Op.TRANSPOSE_CONV)
def transpose_conv(
    ctx: Lowering,
    output_shape: Held,
    weights: Held,
    input: Held,
    bias: Held | None = None,
    *,
    padding: int = 0,
    stride_w: int = 0,
    stride_h: int = 0,
    fused_activation_function: int = 0,
) -> Result:
    """weights (O, KH, KW, I). SAME crops ``(in - 1) * stride + kernel - out``, the odd element behind."""
    x = ctx.channels_first(input)
    weight = ctx.parameter(ctx.plain(weights), "weight", (3, 0, 1, 2))
    if weight.type.rank != 4 or weight.shape[0] != x.shape[1]:
        raise ctx.damaged(f"weights {list(weights.shape)} for {list(input.shape)}")
    wanted = ctx.dims(output_shape, "an output shape")[1:3]
    stride = (stride_h, stride_w)
    low, extra = [], []
    for size, out, kernel, step in zip(spatial(ctx, x), wanted, weight.shape[2:], stride, strict=True):
        if not isinstance(out, int) or not 0 < step < 1 << 15:
            raise ctx.damaged(f"an output of {wanted} with strides {stride}")
        whole = (size - 1) * step + int(kernel)
        low.append(max(whole - out, 0) // 2 if padding == 0 else 0)
        if low[-1] >= kernel or whole > 1 << 16:
            raise ctx.damaged(f"an output of {wanted} from {list(input.shape)} with strides {stride}")
        extra.append(out - (whole - 2 * low[-1]))
    ctx.need(all(-2 < e < s for e, s in zip(extra, stride, strict=True)), f"gives {wanted} of {input.shape}")
    op = ops.ConvTranspose2d(stride, (low[0], low[1]), (extra[0], extra[1]))
    return ctx.channels_last(ctx.with_activation(op, fused_activation_function, x, weight, ctx.bias(bias, x, weight, 1)))
