"""``F.fold``: patches laid side by side, or added where they overlap."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(aten.col2im.default)
def col2im(
    ctx: Lowering,
    self: Value,
    output_size: Sequence[int],
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Result:
    """(N, C * kernel height * kernel width, patches) to (N, C, H, W)."""
    if self.type.rank != 3:
        raise ctx.refused(f"'{ctx.op_name}' without a batch", "give it (N, C, patches)")
    batch, taps, _ = self.shape
    down, across = (
        (size + 2 * pad - spread * (kernel - 1) - 1) // step + 1
        for size, pad, spread, kernel, step in zip(output_size, padding, dilation, kernel_size, stride, strict=True)
    )
    height, width = kernel_size
    assert isinstance(taps, int)
    channels = taps // (height * width)
    side_by_side = list(stride) == list(kernel_size) and (down * height, across * width) == tuple(output_size)
    if side_by_side and not any(padding) and set(dilation) == {1}:
        patches = ctx.reshape(self, (batch, channels, height, width, down, across))
        return ctx.reshape(ctx.permute(patches, (0, 1, 4, 2, 5, 3)), ctx.result.shape)
    return _added(ctx, self, channels, (down, across), output_size, kernel_size, dilation, padding, stride)


def _added(
    ctx: Lowering,
    x: Value,
    channels: int,
    patches: tuple[int, int],
    output_size: Sequence[int],
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Value:
    """A transposed convolution, channel by channel, whose kernels put each tap at its place."""
    height, width = kernel_size
    taps = height * width
    kernels = torch.eye(taps, device=ctx.device).reshape(taps, 1, height, width).repeat(channels, 1, 1, 1)
    reached = [
        (count - 1) * step - 2 * pad + spread * (kernel - 1) + 1
        for count, step, pad, spread, kernel in zip(patches, stride, padding, dilation, kernel_size, strict=True)
    ]
    op = ops.ConvTranspose2d(
        stride=(stride[0], stride[1]),
        padding=(padding[0], padding[1]),
        output_padding=(output_size[0] - reached[0], output_size[1] - reached[1]),
        dilation=(dilation[0], dilation[1]),
        groups=channels,
    )
    picture = ctx.reshape(x, (x.shape[0], channels * taps, *patches))
    return ctx.add(op, picture, ctx.constant(kernels.to(x.type.dtype), "taps"))
