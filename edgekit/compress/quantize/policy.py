"""What a runtime executes in integers, and what stays float there and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import torch

from edgekit.ir import Node, Value, ops
from edgekit.ir.integer.expressible import averages_in_integers, resizes_by_ratio
from edgekit.ir.types import dtype_name


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
        ops.Abs,
        ops.BinarySign,
        ops.Add,
        ops.Sub,
        ops.Mul,
        ops.AvgPool1d,
        ops.AvgPool2d,
        ops.AdaptiveAvgPool2d,
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
        ops.ChooseExit,
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
_NO_FORM = "the runtime's integer kernel cannot be told this form of it"
_FLAT = "its integer kernel aborts on rows of {0} elements or more that are almost equal, and calibration saw such rows"
_MASK = "it adds a mask, beside whose range no 8-bit scale resolves anything else"
#: Of a node that has an integer kernel but is handed, or gives, infinite numbers.
INFINITE = "it reads or gives infinite numbers, which integers can't hold"
_COARSE = "its largest output is {0:.2g}, of which steps of 1/256 resolve next to nothing"

#: A constant with zeros and with elements below this blocks what it is added to.
_BLOCKED = -1e4

#: A softmax whose outputs stay below this uses less than 4 of its 8 bits.
_SMALLEST_PEAK = 1.0 / 16.0

_STATES = "its states stay float from step to step, its weights become 8-bit integers"
_GIVEN_STATES = "it is given initial states, and the integer form of a sequence begins with zeros"

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

_IN_PARTS = "TFLite Micro has no operator for it, and made of 8-bit ones it loses 6-10 dB"
_FLOAT_STATES = "its states stay float, which TFLite Micro doesn't mix with integers"

#: TFLite Micro has no float operators between integer ones to leave such ops in.
_REFUSED_BY_MICRO: dict[type[ops.Op], str] = {
    **dict.fromkeys((ops.LayerNorm, ops.GroupNorm, ops.InstanceNorm, ops.RmsNorm), _IN_PARTS),
    **dict.fromkeys((ops.Lstm, ops.Gru, ops.Rnn), _FLOAT_STATES),
    ops.Gelu: "TFLite Micro has no operator for it",
    ops.Attention: "TFLite Micro has no operator for it",
}

#: Of ops that have 8-bit kernels only, where their neighbours compute in 16.
ONLY_8_BIT = "the runtime has no 16-bit kernel for it"

#: What to write instead of an op that has no place among integers.
INSTEAD: dict[type[ops.Op], str] = {
    **dict.fromkeys((ops.LayerNorm, ops.GroupNorm, ops.InstanceNorm, ops.RmsNorm), "a batch norm is folded into its neighbour"),
    ops.Gelu: "ReLU, Hardswish and SiLU have 8-bit forms",
    **dict.fromkeys((ops.Gru, ops.Rnn), "an LSTM has an 8-bit form in TFLite files, and causal 1-d convolutions everywhere"),
    ops.Lstm: "causal 1-d convolutions have 8-bit forms",
    ops.LogSoftmax: "end the model in its logits, of which the largest is the same, or in softmax",
    ops.Pad: "pad with zeros or by reflection",
    **dict.fromkeys((ops.AvgPool1d, ops.AvgPool2d), "padding 0, or count_include_pad=True with ceil_mode=False"),
    ops.Resize: "a size, or a scale factor that gives whole sizes",
}


@dataclass(frozen=True)
class Seen:
    """What calibration saw of a node.

    Attributes:
        least_peak: of a softmax, the smallest of its rows' largest outputs (0: nothing was seen).
        peak: of a softmax, the largest output of all (1: nothing was seen).
        masked: something that it reads blocks what it is added to.
    """

    least_peak: float = 0.0
    peak: float = 1.0
    masked: bool = False


@dataclass(frozen=True)
class Policy:
    """The table of one runtime.

    ``title``: its name in messages. ``undelegated``: ops whose integer kernel is too slow to be worth it. ``islands``: float
    ops between integer ones are allowed. ``softmax_aborts``: what the exponentials of a row may not sum up to, in units of
    the largest: the integer softmax kills the process there. ``per_channel``: weights have a scale for each output channel;
    ``per_channel_linear``: those of linear layers too. ``only_8_bit``: ops with an 8-bit kernel and no 16-bit one.
    ``reasons``: why an op is no integer one, where this runtime's
    reason is one of its own.
    """

    runtime: str
    title: str
    integer: frozenset[type[ops.Op]] = _INTEGER
    either: frozenset[type[ops.Op]] = _EITHER | _FOLLOWING
    undelegated: frozenset[type[ops.Op]] = frozenset()
    islands: bool = True
    per_channel: bool = True
    per_channel_linear: bool = True
    softmax_aborts: int | None = None
    only_8_bit: frozenset[type[ops.Op]] = frozenset()
    reasons: Mapping[type[ops.Op], str] = field(default_factory=dict, hash=False)

    @property
    def tflite(self) -> bool:
        """The runtime has TFLite's kernels."""
        return self.runtime != "onnxruntime"

    def mode(self, node: Node, seen: Seen = Seen()) -> Mode:
        """How this runtime executes a node whose inputs could be integers."""
        if self.reason(node, seen) is not None:
            return Mode.FLOAT
        return Mode.INTEGER if type(node.op) in self.integer or not self.islands else Mode.EITHER

    def reason(self, node: Node, seen: Seen = Seen()) -> str | None:
        """Why a node stays float, or None if it need not."""
        op = node.op
        other = next((v.type.dtype for v in (*node.inputs, *node.outputs) if v is not None and _is_other_float(v)), None)
        if other is not None:
            return f"it computes with {dtype_name(other)}"
        if isinstance(op, ops.Softmax):
            limit, row = self.softmax_aborts, node.output.tensor_shape[op.axis]
            # The largest output is 1 / sum. Half the limit is kept free for rows that calibration did not see.
            if limit is not None and row >= limit and seen.least_peak * limit < 2:
                return _FLAT.format(limit)
            if self.islands and seen.peak < _SMALLEST_PEAK:
                return _COARSE.format(seen.peak)
        if isinstance(op, ops.Add | ops.Sub) and (seen.masked or any(_is_mask(value) for value in node.inputs)):
            return _MASK
        if isinstance(op, ops.Lstm) and type(op) in self.integer and node.inputs[1:3] != (None, None):
            return _GIVEN_STATES
        if isinstance(op, ops.Elu) and (op.alpha, op.scale, op.input_scale) != (1.0, 1.0, 1.0):
            return _NO_KERNEL
        if isinstance(op, ops.Prelu) and not node.input(1).is_constant:
            return "its slopes are computed"
        if isinstance(op, ops.Pad) and op.mode == "replicate":
            return _NO_KERNEL
        if self.tflite and not _is_expressible(node):
            return _NO_FORM
        if type(op) in self.undelegated:
            return _UNDELEGATED
        if type(op) in self.integer or type(op) in self.either:
            return None
        return self.reasons.get(type(op)) or _FLOAT.get(type(op), _NO_KERNEL)


def _is_expressible(node: Node) -> bool:
    """Whether TFLite's integer kernel of a pool or resize computes this form of it."""
    op = node.op
    if not isinstance(op, ops.AvgPool1d | ops.AvgPool2d | ops.Resize):
        return True
    sizes, outs = node.input(0).tensor_shape[2:], node.output.tensor_shape[2:]
    if isinstance(op, ops.Resize):
        return op.mode != "bilinear" or resizes_by_ratio(op, sizes)
    return averages_in_integers(op, sizes, outs)


def _is_other_float(value: Value) -> bool:
    """Integers stand for float32 alone."""
    return value.type.is_float and value.type.dtype != torch.float32


def is_mask(low: float, high: float) -> bool:
    """A range that some positions block, and that leaves the others as they are."""
    return low <= _BLOCKED and high == 0.0


def _is_mask(value: Value | None) -> bool:
    """A constant that is zero in some places and blocks others."""
    if value is None or not value.is_constant or not value.type.is_float or not value.type.numel():
        return False
    data = value.tensor.detach()
    return bool((data == 0).any()) and bool((data <= _BLOCKED).any())


#: XNNPACK takes no int8 product of two activations (attention): LiteRT 2.3 then runs its own kernel.
#: Its 16-bit PRELU takes 16-bit slopes for 8-bit ones, without a word.
LITERT = Policy(
    "litert",
    "LiteRT",
    undelegated=frozenset({ops.Matmul}),
    softmax_aborts=512,
    only_8_bit=frozenset({ops.BinarySign, ops.Elu, ops.Hardswish, ops.Lstm, ops.PixelShuffle, ops.PixelUnshuffle, ops.Prelu}),
)
ONNXRUNTIME = Policy("onnxruntime", "ONNX Runtime")
#: TensorFlow Lite Micro: linear layers per tensor (8 bytes of arena per channel otherwise), no float islands.
TFLM = Policy(
    "tflm",
    "TFLite Micro",
    integer=_INTEGER | {ops.Lstm},
    either=_EITHER | _FOLLOWING | {ops.Elu},
    islands=False,
    per_channel_linear=False,
    softmax_aborts=512,
    only_8_bit=frozenset({ops.Lstm}),
    reasons=_REFUSED_BY_MICRO,
)

#: Ops that are integers only where a plan names them. LiteRT's integer LSTM takes 5 to 7 % fewer instructions on ARM64 than
#: the float one with 8-bit weights, and seven times its time on x86.
INTEGER_IF_NAMED: dict[str, frozenset[type[ops.Op]]] = {"litert": frozenset({ops.Lstm})}

POLICIES: dict[str, Policy] = {p.runtime: p for p in (LITERT, ONNXRUNTIME, TFLM)}
