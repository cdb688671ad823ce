"""What rounding one layer's weight, or holding one layer's output in 8 bits, does to the model's outputs: measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from edgekit.alone_errors import alone_errors
from edgekit.compress.quantize.borders import is_activation
from edgekit.compress.quantize.sensitivity import logits
from edgekit.ir import Graph, Value
from edgekit.layer_errors import energy
from edgekit.metrics import decibels

#: Multiply-accumulates that one measurement may take, beyond which fewer samples are looked at.
_EFFORT = 60_000_000_000


@dataclass(frozen=True)
class Noises:
    """Powers relative to the outputs' signal, by name of the layer's first value.

    ``weights``: of a weight in each type, with float activations. ``outputs``: of an activation in 8 bits, of all ops.
    """

    weights: dict[str, dict[str, float]]
    outputs: dict[str, float]


def measure(
    graph: Graph, batches: Sequence[list[torch.Tensor]], quantized: Callable[[str], Graph], types: Iterable[str]
) -> Noises:
    """Runs the float graph with one weight or one activation rounded.

    Args:
        graph: float.
        batches: inputs, of which the first is used.
        quantized: the whole graph with 8-bit activations and weights of a type.
        types: of weights.
    """
    names = [value.name for value in logits(graph)]
    weights: dict[str, dict[str, float]] = {}
    outputs: dict[str, float] = {}
    for dtype in types:
        other = quantized(dtype)
        for name, power in _powers(graph, _constants_alone(other), batches[0], names).items():
            weights.setdefault(name, {})[dtype] = power
        if not outputs:
            outputs = _powers(graph, _activations_alone(other), batches[0], names)
    return Noises(weights, outputs)


def output_sqnr_db(graph: Graph, other: Graph, *batches: list[torch.Tensor]) -> float:
    """SQNR of a quantised graph against the float one over these batches, of the tensors before a final softmax or sigmoid."""
    names = [value.name for value in logits(graph)]
    signal = noise = 0.0
    for inputs in batches:
        first, second = _values(graph, names, inputs), _values(other, names, inputs)
        signal += sum(energy(first[name]) for name in names)
        noise += sum(energy(first[name] - second[name]) for name in names)
    return decibels(signal, noise)


def _values(graph: Graph, names: Sequence[str], inputs: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    held: dict[str, torch.Tensor] = {}
    wanted = set(names)

    def observe(value: Value, tensor: torch.Tensor) -> None:
        if value.name in wanted:
            held[value.name] = tensor.detach()

    with torch.no_grad():
        graph.module().eval().run([x.clone() for x in inputs], observe)
    return held


def _constants_alone(graph: Graph) -> Graph:
    """The quantised graph with its activations in float."""
    out = graph.copy()
    for value in out.values():
        if not value.is_constant:
            value.quant = None
    return out


def _activations_alone(graph: Graph) -> Graph:
    """The quantised graph with its constants in float."""
    out = graph.copy()
    for value in out.values():
        if value.is_constant or not is_activation(value):
            value.quant = None
    return out


def _powers(graph: Graph, other: Graph, inputs: list[torch.Tensor], names: list[str]) -> dict[str, float]:
    count = inputs[0].shape[0] if inputs[0].dim() else 1
    while True:
        batch = [tensor[:count] for tensor in inputs]
        found = alone_errors(graph, other, batch, names, effort=_EFFORT)
        if found or count <= 1:
            return {name: 10.0 ** (-decibels / 10.0) for name, decibels in found.items()}
        count //= 2
