"""Conv and ConvTranspose."""

from __future__ import annotations

from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.fused import activate
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node


@emits(ops.Conv1d, ops.Conv2d)
def conv(to: Emission, node: Node, op: ops.Conv1d | ops.Conv2d) -> Tensor:
    """Conv; its pads are all beginnings, then all ends, so asymmetric padding needs no operator of its own."""
    result = to.add(
        "Conv",
        *to.read_all(node),
        kernel_shape=node.input(1).tensor_shape[2:],
        strides=op.stride,
        pads=[low for low, _ in op.padding] + [high for _, high in op.padding],
        dilations=op.dilation,
        group=op.groups,
    )
    return activate(to, result, op.activation, node.output)


@emits(ops.ConvTranspose1d, ops.ConvTranspose2d)
def conv_transpose(to: Emission, node: Node, op: ops.ConvTranspose1d | ops.ConvTranspose2d) -> Tensor:
    """ConvTranspose; weight layout and output size are torch's. ONNX Runtime has it in float only."""
    result = to.add(
        "ConvTranspose",
        *to.read_all(node),
        kernel_shape=node.input(1).tensor_shape[2:],
        strides=op.stride,
        pads=[*op.padding, *(p - min(extra, 0) for p, extra in zip(op.padding, op.output_padding, strict=True))],
        output_padding=op.extended,
        dilations=op.dilation,
        group=op.groups,
    )
    return activate(to, result, op.activation, node.output)
