"""AdaRound for every layer of a quantised graph, in the order of execution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.quantize.rounding.adaround import Problem, learn
from edgekit.compress.quantize.rounding.matrix import MatrixLayer
from edgekit.compress.rewriting.patches import pick
from edgekit.ir import Graph, Node, QuantParams
from edgekit.ir.ops.activation import fused
from edgekit.passes.constants import rewrite_constant

#: Rows of a layer, for learning and for judging together, and the numbers in them, at most.
_ROWS, _NUMBERS = 32768, 1 << 25


@dataclass(frozen=True)
class Rounded:
    """What came of one layer's rounding.

    Attributes:
        weight: its weight's name.
        nearest, learned: mean squared errors of the layer's output on the half of the samples that was not learned from,
            relative to its mean square.
        changed: share of the weights that were rounded the other way.
        kept: the learned integers were taken; else those of rounding to nearest, which are better.
    """

    weight: str
    nearest: float
    learned: float
    changed: float
    kept: bool


@dataclass
class AdaRound:
    """Is called with one layer after another (see ``run_lockstep``); keeps what came of each.

    Attributes:
        iterations: for each layer.
        seed: of the rows that are looked at.
        say: is told of every layer.
    """

    iterations: int
    seed: int = 0
    say: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        self.done: list[Rounded] = []

    def __call__(self, node: Node, inputs: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> None:
        """Puts the weight of a layer onto its grid, up or down.

        Args:
            node: the layer.
            inputs: what the quantised network feeds it, batch by batch.
            wanted: its float outputs before the activation.
        """
        learning, judging = _problems(node, inputs, wanted, self.seed)
        integers = learn(learning, iterations=self.iterations, seed=self.seed)
        nearest = learning.nearest()
        size = max(float(judging.targets.square().mean()), 1e-30)
        errors = [float(judging.error(q, judging.rows, judging.targets)) / size for q in (nearest, integers)]
        kept = errors[1] < errors[0]
        changed = float((integers != nearest).float().mean())
        row = Rounded(node.input(1).name, errors[0], errors[1], changed, kept)
        self.done.append(row)
        if self.say is not None:
            self.say(f"rounding {row.weight}: error {row.nearest:.3g} -> {row.learned:.3g}" + ("" if kept else ", not kept"))
        if kept:
            weight = node.input(1)
            rewrite_constant(weight, MatrixLayer.of(node).weight(integers * learning.scale))


def chosen(graph: Graph, node: Node) -> bool:
    """Layers with integer inputs and an integer weight of their own.

    A weight that others share, even as a copy, stays common; the numbers of a codebook stay as few as they are.
    """
    if not isinstance(node.op, WEIGHTED) or node.input(0).quant is None or node.input(1).quant is None:
        return False
    weight = node.input(1)
    place = weight.tensor.data_ptr()
    copies = (v for v in graph.constants() if v is not weight and v.tensor.data_ptr() == place)
    return graph.readers(weight) == 1 and next(copies, None) is None and not _is_clustered(weight.tensor.detach())


def _is_clustered(weight: torch.Tensor) -> bool:
    """Eight or more of the weights, on average, are the same number."""
    present = weight[weight != 0]
    return 8 * len(torch.unique(present)) <= len(present)


def _problems(node: Node, inputs: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], seed: int) -> tuple[Problem, Problem]:
    """The layer with the rows to learn from and with those to judge by, of different samples where there are several."""
    layer, quant = MatrixLayer.of(node), node.input(1).quant
    assert quant is not None
    generator = torch.Generator().manual_seed(seed)
    limit = min(_ROWS, _NUMBERS // (layer.groups * layer.inputs))
    rows, targets = [], []
    for x, y in zip(inputs, wanted, strict=True):
        picks = pick(layer.count(x), max(2, -(-limit // len(inputs))), generator)
        rows.append(layer.rows(x, picks))
        targets.append(layer.outputs(y, picks))
    if len(rows) == 1:  # positions are numbered sample by sample
        half = len(rows[0]) // 2
        parts = (slice(half), slice(half, None)) if half else (slice(None), slice(None))  # a single row is all there is
        rows, targets = [rows[0][part] for part in parts], [targets[0][part] for part in parts]
    activation = str(getattr(node.op, "activation", "none"))
    bias = node.optional(2)
    whole = Problem(
        weight=layer.matrix(node.input(1).tensor.detach()),
        scale=_scales(layer, quant),
        limits=(quant.qmin, quant.qmax),
        bias=None if bias is None else bias.tensor.detach().reshape(layer.groups, -1),
        rows=torch.cat(rows[::2]),
        targets=fused(torch.cat(targets[::2]), activation),
        activation=activation,
    )
    return whole, replace(whole, rows=torch.cat(rows[1::2]), targets=fused(torch.cat(targets[1::2]), activation))


def _scales(layer: MatrixLayer, quant: QuantParams) -> torch.Tensor:
    """The weight's scales as (groups, outputs, 1), or (1, 1, 1) for one."""
    scales = torch.tensor(quant.scale, dtype=torch.float32)
    return scales.reshape(1, 1, 1) if quant.axis is None else scales.reshape(layer.groups, -1, 1)
