"""RESIZE_NEAREST_NEIGHBOR, RESIZE_BILINEAR, DEPTH_TO_SPACE and SPACE_TO_DEPTH."""

from __future__ import annotations

from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options, OptionValue
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.ir import ops


@emits(ops.Resize)
def resize(site: Site, op: ops.Resize) -> None:
    """`legalize` has rewritten the resizes that TFLite's kernels sample at other positions."""
    _, height, width, _ = site.form.physical
    inputs = [site.read(), site.sheet.ints((height, width))]
    if op.mode == "nearest":
        site.write(Op.RESIZE_NEAREST_NEIGHBOR, inputs, options=Options("ResizeNearestNeighborOptions"))
        return
    fields: dict[str, OptionValue] = {"align_corners": True} if op.align_corners else {"half_pixel_centers": True}
    site.write(Op.RESIZE_BILINEAR, inputs, options=Options("ResizeBilinearOptions", fields))


@emits(ops.PixelShuffle)
def pixel_shuffle(site: Site, op: ops.PixelShuffle) -> None:
    """DEPTH_TO_SPACE on channels that stand in its order already."""
    site.write(Op.DEPTH_TO_SPACE, [site.read()], options=Options("DepthToSpaceOptions", {"block_size": op.factor}))


@emits(ops.PixelUnshuffle)
def pixel_unshuffle(site: Site, op: ops.PixelUnshuffle) -> None:
    """SPACE_TO_DEPTH, which gives channels in its own order."""
    site.write(Op.SPACE_TO_DEPTH, [site.read()], options=Options("SpaceToDepthOptions", {"block_size": op.factor}))
