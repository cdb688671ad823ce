"""What a runtime executes in integers, and what stays float there and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgekit.ir import Node, ops


class Mode(Enum):
    """How a node is executed."""

    INTEGER = "integer"
    FLOAT = "float"
    #: Moves or selects elements: in integers if its input is, else in float.
    EITHER = "either"


#: Ops with integer kernels that are as fast and as accurate as they should be.
_INTEGER: frozenset[type[ops.Op]] = frozenset(
    {
        ops.Conv1d,
        ops.Conv2d,
        ops.ConvTranspose1d,
        ops.ConvTranspose2d,
        ops.Linear,
        ops.Matmul,
        ops.Add,
        ops.Sub,
        ops.Mul,
        ops.AvgPool1d,
        ops.AvgPool2d,
        ops.Mean,
        ops.Softmax,
        ops.Sigmoid,
        ops.Tanh,
        ops.Hardswish,
        ops.LeakyRelu,
        ops.Prelu,
    }
)

#: Ops that move, select or compare elements; with equal scales in and out they lose nothing.
_EITHER: frozenset[type[ops.Op]] = frozenset(
    {
        ops.Reshape,
        ops.Permute,
        ops.Concat,
        ops.Split,
        ops.Slice,
        ops.Expand,
        ops.Tile,
        ops.Pad,
        ops.Gather,
        ops.Flip,
        ops.Roll,
        ops.Resize,
        ops.PixelShuffle,
        ops.PixelUnshuffle,
        ops.MaxPool1d,
        ops.MaxPool2d,
        ops.AdaptiveMaxPool2d,
        ops.Relu,
        ops.Relu6,
        ops.Clamp,
        ops.Maximum,
        ops.Minimum,
        ops.Amax,
        ops.Amin,
    }
)

_SLOW_AND_WORSE = "its integer form runs outside the fast kernels and loses 6-10 dB"
_NO_KERNEL = "the runtime has no integer kernel for it"

_FLOAT: dict[type[ops.Op], str] = {
    ops.LayerNorm: _SLOW_AND_WORSE,
    ops.GroupNorm: _SLOW_AND_WORSE,
    ops.InstanceNorm: _SLOW_AND_WORSE,
    ops.RmsNorm: _SLOW_AND_WORSE,
    ops.Gelu: _SLOW_AND_WORSE,
    ops.Attention: "it is a float op of this runtime",
    ops.LogSoftmax: "its range has no lower end, so no 8-bit scale fits",
}


@dataclass(frozen=True)
class Policy:
    """The table of one runtime. ``islands`` says whether float ops between integer ones are allowed at all."""

    runtime: str
    integer: frozenset[type[ops.Op]] = _INTEGER
    either: frozenset[type[ops.Op]] = _EITHER
    islands: bool = True
    per_channel_linear: bool = True

    def mode(self, node: Node) -> Mode:
        """How this runtime executes a node whose inputs could be integers."""
        kind = type(node.op)
        if kind in self.either:
            if isinstance(node.op, ops.Pad) and node.op.mode == "replicate":
                return Mode.FLOAT
            return Mode.EITHER
        if kind in self.integer and self.reason(node) is None:
            return Mode.INTEGER
        return Mode.FLOAT

    def reason(self, node: Node) -> str | None:
        """Why a node stays float, or None if it need not."""
        op = node.op
        if isinstance(op, ops.Softmax) and op.axis not in (-1, node.output.type.rank - 1):
            return "its integer kernel works along the last axis only"
        if isinstance(op, ops.Prelu) and not node.input(1).is_constant:
            return "its slopes are computed"
        if type(op) in self.integer or type(op) in self.either:
            return None
        return _FLOAT.get(type(op), _NO_KERNEL)


LITERT = Policy("litert")
ONNXRUNTIME = Policy("onnxruntime")
#: TensorFlow Lite Micro: linear layers per tensor (8 bytes of arena per channel otherwise), no float islands.
TFLM = Policy("tflm", islands=False, per_channel_linear=False)

POLICIES: dict[str, Policy] = {p.runtime: p for p in (LITERT, ONNXRUNTIME, TFLM)}
