"""Which weights a runtime's kernels take beside which activations: what was found by running each (docs/precisions.md).

A 4-bit weight that no kernel takes is refused when the file is loaded, or computed wrongly without a word: LiteRT 2.3 reads the
4-bit filters of a depthwise convolution beside 16-bit activations as 8-bit ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from edgekit.ir import Node, ops
from edgekit.precision import Precision

#: Kinds of layers that have kernels of their own.
Kind = Literal["convolution", "depthwise", "grouped", "transposed", "linear", "recurrent", "matmul"]

_CONVOLUTIONS = (ops.Conv1d, ops.Conv2d)
_TRANSPOSED = (ops.ConvTranspose1d, ops.ConvTranspose2d)
_RECURRENT = (ops.Lstm, ops.Gru, ops.Rnn)

_ALL = frozenset({"int8", "int16", "float32"})

#: Runtime -> kind of layer -> activations beside which it takes 4-bit weights. TensorFlow Lite Micro refuses those of linear
#: layers and unpacks those of convolutions into the arena, where they take more memory than 8-bit ones in flash.
INT4: Mapping[str, Mapping[Kind, frozenset[str]]] = {
    "litert": {"convolution": _ALL, "grouped": _ALL, "linear": _ALL, "depthwise": frozenset({"int8"})},
    "onnxruntime": dict.fromkeys(("convolution", "grouped", "depthwise", "transposed", "linear"), _ALL),
    "tflm": {},
}

#: Kinds whose weights a target with 4-bit weights makes 4-bit of itself. Those of depthwise convolutions are few bytes, lose
#: most, and leave the fast kernels; a layer that is named gets them all the same.
BY_DEFAULT: frozenset[Kind] = frozenset({"convolution", "grouped", "linear"})

_TITLES: Mapping[Kind, str] = {
    "convolution": "convolutions",
    "depthwise": "depthwise convolutions",
    "grouped": "grouped convolutions",
    "transposed": "transposed convolutions",
    "linear": "linear layers",
    "recurrent": "recurrent layers",
    "matmul": "products with a constant",
}


def kind_of(node: Node) -> Kind | None:
    """What kind of layer a node is; None if it has no weight that can be a narrow integer."""
    if isinstance(node.op, _CONVOLUTIONS):
        if node.op.groups == 1:
            return "convolution"
        return "depthwise" if node.input(1).tensor_shape[1] == 1 else "grouped"
    if isinstance(node.op, _TRANSPOSED):
        return "transposed"
    if isinstance(node.op, ops.Linear):
        return "linear"
    if isinstance(node.op, _RECURRENT):
        return "recurrent"
    return "matmul" if isinstance(node.op, ops.Matmul) else None


def takes(runtime: str, node: Node, precision: Precision) -> bool:
    """Whether the runtime has a kernel for a layer of this precision that computes it right."""
    kind = kind_of(node)
    if precision.weights != "int4" or kind is None:
        return True
    return precision.activations in INT4.get(runtime, {}).get(kind, frozenset())


def refusal(title: str, node: Node, precision: Precision) -> str:
    """Why such a layer is refused, in one sentence."""
    kind = kind_of(node)
    assert kind is not None
    return f"{title} computes no {_TITLES[kind]} with {precision}"
