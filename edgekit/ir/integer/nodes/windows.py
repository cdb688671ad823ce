"""Pools and resizes."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from edgekit.errors import Unsupported
from edgekit.ir import ops
from edgekit.ir.integer.activation_range import require_equal
from edgekit.ir.integer.averaging import average_windows
from edgekit.ir.integer.convolution import Padding
from edgekit.ir.integer.expressible import resizes_by_ratio
from edgekit.ir.integer.nodes.products import back, pair, picture
from edgekit.ir.integer.nodes.table import Call, integer
from edgekit.ir.integer.pooling import average_pool2d, max_pool2d
from edgekit.ir.integer.resize import resize_bilinear


def _reach(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Rows or columns by which torch's last window reaches over the padded edge."""
    span = dilation * (kernel - 1) + 1
    beyond = size + 2 * padding - span
    if not ceil_mode:
        return 0
    windows = -(-beyond // stride) + 1
    # torch leaves out a window that would start in the padding at the far edge.
    if (windows - 1) * stride >= size + padding:
        windows -= 1
    return max(0, (windows - 1) * stride + span - size - 2 * padding)


def _window(
    call: Call, x: torch.Tensor, dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, stride, symmetric padding and reach over the far edges of a pool, all for two dimensions."""
    op = call.op
    kernel, stride, padding = pair(op.kernel, 1), pair(op.stride, 1), pair(op.padding, 0)
    reach = [
        _reach(x.shape[2 + i], kernel[i], stride[i], padding[i], dilation[i], op.ceil_mode and (len(op.kernel) == 2 or i == 1))
        for i in range(2)
    ]
    return kernel, stride, padding, (reach[0], reach[1])


def _sides(padding: tuple[int, int], reach: tuple[int, int]) -> Padding:
    return ((padding[0], padding[0] + reach[0]), (padding[1], padding[1] + reach[1]))


@integer(ops.MaxPool1d, ops.MaxPool2d)
def _max_pool(call: Call) -> torch.Tensor:
    spatial = len(call.op.kernel)
    x = picture(call.tensor(0), spatial)
    dilation = pair(call.op.dilation, 1)
    kernel, stride, padding, reach = _window(call, x, dilation)
    y = max_pool2d(
        x, call.quant(0), call.output, kernel=kernel, stride=stride, padding=_sides(padding, reach), dilation=dilation
    )
    return back(y, spatial)


@integer(ops.AvgPool1d, ops.AvgPool2d)
def _average_pool(call: Call) -> torch.Tensor:
    op = call.op
    if op.divisor is not None:
        raise Unsupported("an integer average pool divides by the size of its window", hint="leave out divisor_override")
    spatial = len(op.kernel)
    x = picture(call.tensor(0), spatial)
    kernel, stride, padding, reach = _window(call, x, (1, 1))
    if op.count_include_pad and any(padding):
        # The zeros that count are put there by a PAD; what the last window reaches beyond them does not count.
        x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]), value=call.quant(0).zero_point[0])
        padding = (0, 0)
    y = average_pool2d(x, call.quant(0), call.output, kernel=kernel, stride=stride, padding=_sides(padding, reach))
    return back(y, spatial)


@integer(ops.AdaptiveAvgPool2d)
def _adaptive_average_pool(call: Call) -> torch.Tensor:
    return average_windows(call.tensor(0), call.quant(0), call.output, call.op.size)


@integer(ops.AdaptiveMaxPool2d)
def _adaptive_max_pool(call: Call) -> torch.Tensor:
    require_equal("a max pool", call.quant(0), call.output)
    x = call.tensor(0)
    # float32 holds every 8-bit integer, and a maximum rounds nothing.
    return call.op.run(x.to(torch.float32)).to(x.dtype)  # type: ignore[no-any-return]


@integer(ops.Resize)
def _resize(call: Call) -> torch.Tensor:
    op: ops.Resize = call.op
    spatial = len(op.size)
    if op.mode == "nearest":  # the file has a look-up where torch picks other elements than TFLite's kernel
        require_equal("a nearest resize", call.quant(0), call.output)
        return op.run(call.tensor(0).to(torch.float32)).to(call.tensor(0).dtype)
    if not resizes_by_ratio(op, call.tensor(0).shape[2:]):
        raise Unsupported(
            f"a bilinear resize by the factors {op.scales} in integers", hint="leave it in float, or resize to a size"
        )
    x = picture(call.tensor(0), spatial)
    size = pair(op.size, 1)
    # torch places pixels at half-integers unless the corners are aligned.
    y = resize_bilinear(
        x, size, call.quant(0), call.output, align_corners=op.align_corners, half_pixel_centers=not op.align_corners
    )
    return back(y, spatial)
