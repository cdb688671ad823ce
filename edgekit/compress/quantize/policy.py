"""What a runtime executes in integers, and what stays float there and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgekit.ir import Node, Value, ops


class Mode(Enum):
    """How a node is executed."""

    INTEGER = "integer"
    FLOAT = "float"
    #: In integers if an input is, else in float.
    EITHER = "either"


#: Ops that gain most from integers: what they read is quantised for them.
_INTEGER: frozenset[type[ops.Op]] = frozenset(
    {ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear, ops.Matmul}
)

#: Ops with good integer kernels that are too cheap to convert for: in integers where an input is.
_FOLLOWING: frozenset[type[ops.Op]] = frozenset(
    {
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

_UNDELEGATED = "its integer kernel is outside the fast ones, several times slower than in float"
_SLOW_AND_WORSE = "its integer form runs outside the fast kernels and loses 6-10 dB"
_NO_KERNEL = "the runtime has no integer kernel for it"
_FLAT = "its integer kernel aborts on rows of {0} elements or more that are almost equal, and calibration saw such rows"
_MASK = "it adds a mask, beside whose range no 8-bit scale resolves anything else"

#: A constant with zeros and with elements below this blocks what it is added to.
_BLOCKED = -1e4

_STATES = "its states stay float from step to step, its weights become 8-bit integers"

_FLOAT: dict[type[ops.Op], str] = {
    ops.LayerNorm: _SLOW_AND_WORSE,
    ops.GroupNorm: _SLOW_AND_WORSE,
    ops.InstanceNorm: _SLOW_AND_WORSE,
    ops.RmsNorm: _SLOW_AND_WORSE,
    ops.Gelu: _SLOW_AND_WORSE,
    ops.Attention: "it is a float op of this runtime",
    ops.Lstm: _STATES,
    ops.Gru: _STATES,
    ops.Rnn: _STATES,
    ops.LogSoftmax: "its range has no lower end, so no 8-bit scale fits",
}


@dataclass(frozen=True)
class Policy:
    """The table of one runtime.

    ``undelegated``: ops whose integer kernel is too slow to be worth it. ``islands``: float ops between integer ones are
    allowed. ``softmax_aborts``: what the exponentials of a row may not sum up to, in units of the largest: the integer softmax
    kills the process there.
    """

    runtime: str
    integer: frozenset[type[ops.Op]] = _INTEGER
    either: frozenset[type[ops.Op]] = _EITHER | _FOLLOWING
    undelegated: frozenset[type[ops.Op]] = frozenset()
    islands: bool = True
    per_channel_linear: bool = True
    softmax_aborts: int | None = None

    def mode(self, node: Node, peak: float = 0.0) -> Mode:
        """How this runtime executes a node whose inputs could be integers; ``peak`` as in ``reason``."""
        if self.reason(node, peak) is not None:
            return Mode.FLOAT
        return Mode.INTEGER if type(node.op) in self.integer or not self.islands else Mode.EITHER

    def reason(self, node: Node, peak: float = 0.0) -> str | None:
        """Why a node stays float, or None if it need not.

        ``peak``: for a softmax, the smallest of the rows' largest outputs that calibration saw (0: it saw none).
        """
        op = node.op
        if isinstance(op, ops.Softmax):
            if op.axis not in (-1, node.output.type.rank - 1):
                return "its integer kernel works along the last axis only"
            limit = self.softmax_aborts
            # The largest output is 1 / sum. Half the limit is kept free for rows that calibration did not see.
            if limit is not None and node.output.tensor_shape[-1] >= limit and peak * limit < 2:
                return _FLAT.format(limit)
        if isinstance(op, ops.Add | ops.Sub) and any(_is_mask(value) for value in node.inputs):
            return _MASK
        if isinstance(op, ops.Prelu) and not node.input(1).is_constant:
            return "its slopes are computed"
        if isinstance(op, ops.Pad) and op.mode == "replicate":
            return _NO_KERNEL
        if type(op) in self.undelegated:
            return _UNDELEGATED
        if type(op) in self.integer or type(op) in self.either:
            return None
        return _FLOAT.get(type(op), _NO_KERNEL)


def _is_mask(value: Value | None) -> bool:
    """A constant that is zero in some places and blocks others."""
    if value is None or not value.is_constant or not value.type.is_float or not value.type.numel():
        return False
    data = value.tensor.detach()
    return bool((data == 0).any()) and bool((data <= _BLOCKED).any())


#: XNNPACK takes no int8 product of two activations (attention): LiteRT 2.3 then runs its own kernel.
LITERT = Policy("litert", undelegated=frozenset({ops.Matmul}), softmax_aborts=512)
ONNXRUNTIME = Policy("onnxruntime")
#: TensorFlow Lite Micro: linear layers per tensor (8 bytes of arena per channel otherwise), no float islands.
TFLM = Policy("tflm", islands=False, per_channel_linear=False, softmax_aborts=512)

POLICIES: dict[str, Policy] = {p.runtime: p for p in (LITERT, ONNXRUNTIME, TFLM)}
