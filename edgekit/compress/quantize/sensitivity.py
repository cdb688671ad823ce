"""How much the network's output suffers from the rounding and the clipping of each activation.

To first order an error e in an activation changes the output y by J e, J the Jacobian of y by the activation. For random
projections v of the output (standard normal, so that the mean of (v . d)^2 is |d|^2), g = J^T v comes from one backward pass
for all activations at once. Then, per sample, the squared output error of a range [l, h] with 255 steps D = (h - l) / 255 is

    rounding:  D^2 / 12 * sum g_i^2          over the elements that are not exactly zero (zero is always representable)
    clipping:  (sum over x_i > h of g_i (h - x_i))^2, and likewise below l
    unseen:    as if one more element had come, beyond the largest one seen by an exponential excess whose mean is that of the
               largest elements: it is what keeps a range that was seen through few elements from being too tight

Rounding errors are taken as independent and uniform (Widrow & Kollar 2008); clipping errors are summed with their signs,
because they all point the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch

from edgekit.compress.quantize.curves import SHARES, Activation, End, Sensitivity
from edgekit.compress.quantize.lockstep import batch_size
from edgekit.ir import Graph, N, Value, ops
from edgekit.ir.cloning import clone

#: Backward passes at least: with fewer samples, each gets several random projections of the output.
_PASSES = 192

#: Activation elements looked at in all, beyond which no further projection is added: large activations average well by
#: themselves.
_VOLUME = 60_000_000


#: Ops that make answers of scores.
_FINAL = (ops.Softmax, ops.Sigmoid, ops.LogSoftmax, ops.Argmax, ops.Identity)


def logits(graph: Graph) -> list[Value]:
    """The float outputs, each once; of a final softmax, sigmoid or argmax, its input; of a choice between exits, all exits."""
    found: dict[Value, None] = {}
    waiting = list(graph.outputs)
    while waiting:
        value = waiting.pop(0)
        node = value.producer
        if node is not None and isinstance(node.op, _FINAL):
            waiting.insert(0, node.input(0))
        elif node is not None and isinstance(node.op, ops.ChooseExit):
            waiting[:0] = [node.input(index) for index in range(len(node.inputs))]
        elif value.type.is_float:
            found[value] = None
    return list(found)


def measure(
    graph: Graph, batches: Sequence[list[torch.Tensor]], ranges: dict[int, tuple[float, float]], memory: int = 24 << 20
) -> dict[int, Sensitivity]:
    """Sensitivity of every value in ``ranges`` (observed (low, high) by ``id(value)``), over all samples.

    Args:
        graph: run in float; ``quant`` of its values must be None.
        batches: graph inputs.
        ranges: which values to look at, and the range whose shares are tried.
        memory: bytes of activations that one pass may need; the batches are cut accordingly.
    """
    found: dict[int, Sensitivity] = {}

    def look(key: int, tensor: torch.Tensor) -> Seer:
        activation = Activation(tensor, *ranges[key])

        def see(gradient: torch.Tensor, weight: float) -> None:
            found.setdefault(key, Sensitivity()).add(activation.curves(gradient, weight))

        return see

    probe(graph, batches, ranges, look, memory)
    return found


#: Is given the gradient of one projection of the output by an activation, and the weight of that projection.
Seer = Callable[[torch.Tensor, float], None]


def probe(
    graph: Graph,
    batches: Sequence[list[torch.Tensor]],
    wanted: Collection[int],
    look: Callable[[int, torch.Tensor], Seer],
    memory: int = 24 << 20,
) -> None:
    """Runs the graph and random projections of its output backwards.

    Args:
        graph: run in float; ``quant`` of its values must be None.
        batches: graph inputs.
        wanted: by ``id(value)``, the values to look at.
        look: is given each of them (its id and its tensor, axis 0 the sample), batch by batch; what it returns sees the
            gradients. The weights of all projections of one batch sum to 1.
        memory: bytes of activations that one pass may need; the batches are cut accordingly.
    """
    twin = clone(graph, lambda data: data.detach())
    twin.outputs = logits(twin)
    twin_of = _pair(graph, twin)
    per_sample = sum(v.type.numel() for v in twin.values() if not v.is_constant) * 4
    size = max(1, memory // max(per_sample * 2, 1))
    module = twin.module().eval()
    generator = torch.Generator().manual_seed(0)
    samples = sum(batch_size(graph, batch) for batch in batches)
    affordable = _VOLUME // max(1, samples * per_sample // 4)
    projections = max(1, min(-(-_PASSES // samples), affordable))
    for batch in cut(graph, batches, size):
        _accumulate(module.run, batch, twin_of, wanted, look, projections, generator)


def _pair(graph: Graph, twin: Graph) -> dict[int, int]:
    """Values of the original by the ids of their copies."""
    pairs = {id(b): id(a) for a, b in zip(graph.inputs, twin.inputs, strict=True)}
    for a, b in zip(graph.nodes, twin.nodes, strict=True):
        pairs.update((id(y), id(x)) for x, y in zip(a.outputs, b.outputs, strict=True))
    return pairs


def cut(graph: Graph, batches: Sequence[list[torch.Tensor]], size: int) -> list[list[torch.Tensor]]:
    """The same samples in batches of at most ``size``, where every input has its samples along axis 0."""
    if any(not value.type.shape or value.type.shape[0] != N for value in graph.inputs):
        return list(batches)
    return [[t[start : start + size] for t in batch] for batch in batches for start in range(0, batch[0].shape[0], size)]


def _accumulate(
    run: Callable[..., list[torch.Tensor]],
    batch: list[torch.Tensor],
    names: dict[int, int],
    wanted: Collection[int],
    look: Callable[[int, torch.Tensor], Seer],
    projections: int,
    generator: torch.Generator,
) -> None:
    inputs = [t.detach().requires_grad_() if t.dtype.is_floating_point else t for t in batch]

    def observe(value: Value, tensor: torch.Tensor) -> None:
        key = names.get(id(value))
        if key is None or key not in wanted or not tensor.requires_grad:
            return
        see = look(key, tensor.detach())
        tensor.register_hook(lambda gradient: see(gradient, 1.0 / projections))  # type: ignore[no-untyped-call]

    with torch.enable_grad():
        outputs = [_finite(y) for y in run(inputs, observe) if y.requires_grad]
    if not outputs:
        return
    spread = [float(y.detach().std(correction=0)) if y.numel() > 1 else 1.0 for y in outputs]
    for projection in range(projections):
        total = sum(
            (y * torch.randn(y.shape, generator=generator)).sum() / max(s, 1e-12) for y, s in zip(outputs, spread, strict=True)
        )
        assert isinstance(total, torch.Tensor)
        total.backward(retain_graph=projection < projections - 1)  # type: ignore[no-untyped-call]


def _finite(y: torch.Tensor) -> torch.Tensor:
    """Without what a mask has set to -inf: it is no part of the answer, and would make every gradient NaN."""
    finite = y.isfinite()
    return y if bool(finite.all()) else y[finite]


def best_range(low: float, high: float, curves: Sensitivity, levels: int = 256) -> tuple[float, float]:
    """The range [l, h], containing zero, with the least squared output error; at most 1.3 times what was seen."""
    low, high = min(low, 0.0), max(high, 0.0)
    if curves.rounding == 0.0 or high == low:
        return low, high
    importance = curves.rounding / curves.elements
    lows, low_cost = _ends(low, curves.low, importance)
    highs, high_cost = _ends(high, curves.high, importance)
    step = (highs[None, :] - lows[:, None]) / (levels - 1)
    cost = step.square() / 12.0 * curves.rounding + high_cost[None, :] + low_cost[:, None]
    index = int(torch.argmin(cost))
    return float(lows[index // len(highs)]), float(highs[index % len(highs)])


def _ends(end: float, curve: End, importance: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Candidates for one end and the cost of each; an end at zero stays there."""
    if end == 0.0:
        return torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    return end * SHARES, curve.error + importance * curve.unseen(end)
