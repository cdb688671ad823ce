"""MAX_POOL_2D and AVERAGE_POOL_2D. A pool over a signal is one over images of height 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.errors import Unsupported
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.padding import Plan, Window, padded, plan
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator, Padding
from edgekit.ir import ops


def windows_over(
    site: Site, shape: Sequence[int], op: ops.MaxPool1d | ops.MaxPool2d | ops.AvgPool1d | ops.AvgPool2d
) -> list[Window]:
    """The windows over height and width of an input of this physical shape; a signal has height 1."""
    out = site.form.physical
    one = len(op.kernel) == 1
    kernel, stride, pads = ((1, *op.kernel), (1, *op.stride), (0, *op.padding)) if one else (op.kernel, op.stride, op.padding)
    return [Window(shape[1 + i], out[1 + i], kernel[i], stride[i], pads[i]) for i in range(2)]


def _write(site: Site, code: BuiltinOperator, x: int, windows: list[Window], padding: Padding) -> None:
    options = {
        "padding": padding,
        "stride_h": windows[0].stride,
        "stride_w": windows[1].stride,
        "filter_height": windows[0].reach,
        "filter_width": windows[1].reach,
    }
    site.write(code, [x], options=Options("Pool2DOptions", {**options}))


@emits(ops.MaxPool1d, ops.MaxPool2d)
def max_pool(site: Site, op: ops.MaxPool1d | ops.MaxPool2d) -> None:
    """Padding is the smallest number there is: SAME leaves it out of the maximum, else PADV2 writes it.

    `legalize` has rewritten the pools with dilation.
    """
    x = site.read()
    windows = windows_over(site, site.sheet.tensors[x].shape, op)
    chosen = plan(windows)
    if chosen.before is not None:
        quant = site.node.output.quant
        lowest = float(np.finfo(np.float32).min) if quant is None else float(quant.qmin)
        x = padded(site, x, chosen.before, lowest)
    _write(site, BuiltinOperator.MAX_POOL_2D, x, windows, chosen.padding)


@emits(ops.AvgPool1d, ops.AvgPool2d)
def average_pool(site: Site, op: ops.AvgPool1d | ops.AvgPool2d) -> None:
    """The kernel leaves padding out of the count, torch counts it unless told otherwise: then it is written as zeros before.

    `legalize` has rewritten the pools for which neither is right.
    """
    x = site.read()
    windows = windows_over(site, site.sheet.tensors[x].shape, op)
    chosen = average_plan(windows, op.count_include_pad)
    if chosen is None or getattr(op, "divisor", None) is not None:
        raise Unsupported(
            f"average pooling with padding {op.padding}, ceil_mode={op.ceil_mode}, "
            f"count_include_pad={op.count_include_pad} in integers",
            hint="use padding 0 or count_include_pad=True with ceil_mode=False, or the target tflite-fp32",
        )
    _write(site, BuiltinOperator.AVERAGE_POOL_2D, padded(site, x, chosen.before), windows, chosen.padding)


def average_plan(windows: list[Window], counts_padding: bool) -> Plan | None:
    """The padding for an average pool, None where the kernel counts otherwise than torch.

    What a window covers beyond the padding (ceil_mode lets it) is counted by neither.
    """
    chosen = plan(windows)
    if not any(window.low for window in windows) or not counts_padding:
        return chosen if chosen.before is None else None
    if all(window.explicit[1] <= window.low for window in windows):
        return Plan(Padding.VALID, tuple(window.explicit for window in windows))
    padded = [Window(w.size + 2 * w.low, w.out, w.reach, w.stride, 0) for w in windows]
    chosen = plan(padded)
    return None if chosen.before is not None else Plan(chosen.padding, tuple((w.low, w.low) for w in windows))
