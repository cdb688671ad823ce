"""What the step ``equalize`` does, from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgekit.compress.equalize.bias_absorption import absorb_biases
from edgekit.compress.equalize.pairs import Pair, find_pairs, layer_name
from edgekit.compress.equalize.relu6 import replace_relu6
from edgekit.compress.equalize.scaling import Weights, equalized
from edgekit.compress.equalize.step import Equalize
from edgekit.compress.prune.oracle import difference, example
from edgekit.compress.quantize.sensitivity import cut
from edgekit.compress.recording import recorded
from edgekit.compress.rewriting.patches import inputs_of
from edgekit.errors import ParityError, Unsupported, UsageError
from edgekit.ir import Graph, Value
from edgekit.ir.types import where_text
from edgekit.passes import EXACT, run_passes
from edgekit.passes.constants import rewrite_constant

#: Largest difference of an output in float32, relative to its largest element.
TOLERANCE = 1e-5

#: Samples that outputs are compared on.
_COMPARED = 64


@dataclass(frozen=True)
class Moved:
    """Scale that moved between two layers: the smallest and the largest s, and the ranges of W1's rows before."""

    first: str
    second: str
    channels: int
    scales: tuple[float, float]
    spread_before: float
    spread_after: float


@dataclass
class Equalization:
    """What was done.

    Attributes:
        pairs: in the order of the graph.
        declined: layers from which no scale moved, and why.
        rounds: how often all pairs were gone through.
        error: largest difference of an output, relative to its largest element (without what follows).
        replaced_relu6: values that a ReLU6 gave and a ReLU gives now.
        absorbed: the largest bias that moved on, by layer; not_absorbed: why the others' did not.
        sqnr_db: of the outputs against those before, where the function was changed on purpose; None where it was not.
        measured_on: "the data" or "random inputs".
    """

    pairs: list[Moved] = field(default_factory=list)
    declined: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    error: float = 0.0
    replaced_relu6: list[str] = field(default_factory=list)
    absorbed: dict[str, float] = field(default_factory=dict)
    not_absorbed: dict[str, str] = field(default_factory=dict)
    sqnr_db: float | None = None
    measured_on: str = ""

    def changes(self) -> tuple[str, ...]:
        """What a user should know: the function is no longer the same."""
        if self.sqnr_db is None:
            return ()
        done = []
        if self.replaced_relu6:
            done.append(f"{len(self.replaced_relu6)} relu6 became relu")
        if self.absorbed:
            done.append(f"biases of {len(self.absorbed)} layers were absorbed")
        return (f"the function was changed ({', '.join(done)}): outputs are {self.sqnr_db:.1f} dB apart on {self.measured_on}",)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def equalize(step: Equalize, graph: Graph, data: object | None, *, root: Path | None = None) -> Graph:
    """See ``Equalize.apply``."""
    started = time.perf_counter()
    if any(value.quant is not None for value in graph.values()):
        raise Unsupported("equalising a quantised graph", where=graph.name, hint="equalise first, quantise afterwards")
    batches = inputs_of(graph, data, needed=False, root=root)
    folded, _ = run_passes(graph, EXACT)
    out, done = equalize_graph(folded, batches, relu6=step.replace_relu6, absorb=step.absorb_bias)
    details = {key: value for key, value in done.as_dict().items() if key != "declined"}
    return recorded("equalize", step, graph, out, started, declined=done.declined, warnings=done.changes(), details=details)


def equalize_graph(
    graph: Graph, batches: Sequence[list[torch.Tensor]], *, relu6: bool = False, absorb: bool = False
) -> tuple[Graph, Equalization]:
    """An equalised copy of a float graph on which the exact passes have run.

    Args:
        graph: is left as it is.
        batches: inputs to compare outputs on, and for ``absorb``; random ones stand in for none.
        relu6: see ``Equalize.replace_relu6``.
        absorb: see ``Equalize.absorb_bias``.

    Raises:
        UsageError: ``absorb`` without data.
        ParityError: the outputs would change by more than ``TOLERANCE``.
    """
    if absorb and not batches:
        raise UsageError("absorbing biases needs data", where="equalize", hint="give data=edgekit.Data(calibration=...)")
    out, done = graph.copy(), Equalization(measured_on="the data" if batches else "random inputs")
    samples = cut(graph, batches[:1], _COMPARED)[0] if batches else example(graph, 4, 0)
    source = _outputs(graph, samples)
    pairs, done.declined = find_pairs(out, relu6=relu6)
    if relu6:
        done.replaced_relu6 = replace_relu6(out, pairs)
    before = _outputs(out, samples) if done.replaced_relu6 else source
    weights, scales, done.rounds = equalized(pairs)
    done.pairs = _told(out, pairs, scales, Weights(pairs), weights)
    _write(pairs, weights)
    done.error = _check(out, before, _outputs(out, samples))
    if absorb:
        done.absorbed, done.not_absorbed = absorb_biases(out, pairs, batches)
    if done.replaced_relu6 or done.absorbed:
        done.sqnr_db = _sqnr(source, _outputs(out, samples))
    return out, done


def _write(pairs: Sequence[Pair], weights: Weights) -> None:
    """Puts the new weights and biases in the place of the old."""
    for node in {id(node): node for pair in pairs for node in (pair.first, pair.second)}.values():
        rewrite_constant(node.input(1), weights.weight[id(node)])
        bias = node.optional(2)
        if bias is not None and len(bias.users) == 1 and bias.is_constant:
            rewrite_constant(bias, weights.bias[id(node)])


def _told(graph: Graph, pairs: Sequence[Pair], scales: Sequence[torch.Tensor], old: Weights, new: Weights) -> list[Moved]:
    return [
        Moved(
            layer_name(graph, pair.first),
            layer_name(graph, pair.second),
            pair.channels,
            (float(scale.min()), float(scale.max())),
            _spread(old.made(pair.first)),
            _spread(new.made(pair.first)),
        )
        for pair, scale in zip(pairs, scales, strict=True)
    ]


def _spread(ranges: torch.Tensor) -> float:
    """Largest range of a channel relative to the median of those that are not zero."""
    present = ranges[ranges > 0]
    return float(present.max() / present.median()) if len(present) else 1.0


def _outputs(graph: Graph, samples: list[torch.Tensor]) -> list[torch.Tensor]:
    with torch.no_grad():
        return graph.module().eval().run(list(samples))


def _check(graph: Graph, wanted: Sequence[torch.Tensor], got: Sequence[torch.Tensor]) -> float:
    """The largest difference of an output in float32.

    Raises:
        ParityError: it is above ``TOLERANCE``.
    """
    worst = 0.0
    for value, a, b in zip(graph.outputs, wanted, got, strict=True):
        error = difference(a, b)
        if not error <= TOLERANCE:
            raise ParityError(
                f"equalisation would change output '{value.name}' by {error:.2g} of its size in float32",
                where=_place(value),
                hint="leave this model unequalised; weights of very different sizes may not fit float32 together",
            )
        worst = max(worst, error)
    return worst


def _place(value: Value) -> str | None:
    return where_text(value.producer.where) if value.producer else None


def _sqnr(wanted: Sequence[torch.Tensor], got: Sequence[torch.Tensor]) -> float:
    """Signal to noise of all outputs together, in dB; 200 where they are equal."""
    signal = sum(float(a.double().square().sum()) for a in wanted)
    noise = sum(float((a.double() - b.double()).square().sum()) for a, b in zip(wanted, got, strict=True))
    return 200.0 if noise == 0.0 else 10.0 * math.log10(max(signal, 1e-300) / noise)
