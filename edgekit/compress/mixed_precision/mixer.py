"""The layers of one graph for one runtime: what each may be, what that costs, and what comes out of a choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from edgekit.compress.mixed_precision.choice import LayerChoice, Mixed, plan_of
from edgekit.compress.mixed_precision.costs import FLOAT, INT8, INT16, W4A8, plain_on_x86, price, slowdown
from edgekit.compress.mixed_precision.noise import Noises, measure, output_sqnr_db
from edgekit.compress.mixed_precision.solve import Option, Problem, Solution
from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.quantize.groups import COPIES
from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.policy import LITERT, Policy
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.compress.quantize.weight_kernels import BY_DEFAULT, kind_of, takes
from edgekit.errors import OverBudget, UsageError
from edgekit.ir import Graph, Node
from edgekit.precision import Precision, PrecisionPlan

#: What a layer may be.
CANDIDATES = (W4A8, INT8, INT16, FLOAT)

#: Above this many times int8's instructions, a choice makes the runtime slower.
_SLOWER = 1.05


@dataclass
class Mixer:
    """What is known about the layers whose precision is chosen.

    Attributes:
        graph: float, after the exact passes.
        batches: calibration inputs.
        policy: of the runtime.
        options: of the quantiser while choosing.
        allow_slower: choices that make the runtime slower than int8 are made too.
        fixed: the default of all layers, and the layers that the user has named: these are left as they are.

    Raises:
        UsageError: no layer is left whose precision could be chosen.
    """

    graph: Graph
    batches: Sequence[list[torch.Tensor]]
    policy: Policy = LITERT
    options: PostTraining = field(default_factory=PostTraining)
    allow_slower: bool = False
    fixed: PrecisionPlan = field(default_factory=PrecisionPlan)

    def __post_init__(self) -> None:
        layers = Layers(self.graph, self.fixed, self.policy)
        weighted = [n for n in self.graph.nodes if isinstance(n.op, WEIGHTED) and n.input(1).is_constant]
        self.nodes = [node for node in weighted if not layers.is_named(node)]
        if not self.nodes:
            why = "all layers are named in [quantization.layers]" if weighted else "no layer of this model has constant weights"
            raise UsageError(
                f"there is no precision left to choose: {why}",
                where="[quantization]",
                hint="leave out `budget` and `fallback`",
            )
        self.names = [layers.label(node.input(1)) for node in self.nodes]
        self.counted = self.policy.runtime == "litert"
        self.candidates = [self._allowed(node) for node in self.nodes]
        self.tried = 0

    def quantized(self, plan: PrecisionPlan) -> Graph:
        """The graph as a plan makes it."""
        return quantize(self.graph, self.batches, policy=self.policy, options=self.options, plan=plan)[0]

    def plan(self, choices: Mapping[str, Precision]) -> PrecisionPlan:
        """The plan with these layers' precisions beside those that the user has named."""
        return PrecisionPlan(self.fixed.default, {**plan_of(self.fixed.default, choices).layers, **self.fixed.layers})

    def problem(self) -> Problem:
        """Every layer's options with their cost and their measured noise."""
        noises = measure(self.graph, self.batches, self._uniform, ("int8", "int4"))
        return Problem([self._options(node, allowed, noises) for node, allowed in self._rows()], *self._activations(noises))

    def chosen(self, problem: Problem, found: Solution) -> Mixed:
        """What a choice of options comes to, measured."""
        indices = found.chosen
        picked = {name: allowed[i] for name, allowed, i in zip(self.names, self.candidates, indices, strict=True)}
        return replace(self.described(self.plan(picked), problem, problem.noise(indices)), gap=found.gap)

    def described(self, plan: PrecisionPlan, problem: Problem, noise: float | None = None) -> Mixed:
        """A plan with every layer's choice and price, and the error that was measured."""
        self.tried += 1
        layers, choices = Layers(self.graph, plan, self.policy), []
        for (node, allowed), name, row in zip(self._rows(), self.names, problem.layers, strict=True):
            precision = layers.of(node)
            power = next((option.noise for option, p in zip(row, allowed, strict=True) if p == precision), 0.0)
            decibels = 10.0 * math.log10(power) if power else None
            sizes = price(node, precision).bytes, price(node, INT8).bytes
            choices.append(LayerChoice(name, precision, decibels, *sizes, slowdown(node, precision, counted=self.counted)))
        predicted = None if noise is None else -10.0 * math.log10(max(noise, 1e-30))
        measured = output_sqnr_db(self.graph, self.quantized(plan), self.batches[0])
        return Mixed(plan, tuple(choices), predicted, measured, tried=self.tried)

    def infeasible(self, what: str, reached: str, looser: str) -> OverBudget:
        """The error for a budget that no choice keeps, how near one comes, and what a looser one is."""
        hint = looser
        if not self.policy.islands:
            hint += f"; {self.policy.title} has layers of 8 bits alone"
        elif not self.allow_slower:
            hint += "; or allow_slower = true: 4-bit weights, 16-bit activations and float layers, which make the runtime "
            hint += "slower (docs/precisions.md)"
        return OverBudget(f"no choice of precisions keeps {what}: {reached}", where="[quantization] budget", hint=hint)

    # ------------------------------------------------------------------ within

    def _rows(self) -> list[tuple[Node, list[Precision]]]:
        return list(zip(self.nodes, self.candidates, strict=True))

    def _allowed(self, node: Node) -> list[Precision]:
        """What the runtime computes: what is no slower than int8, what the target itself asks for, and the rest if allowed."""
        found = [INT8]
        for precision in CANDIDATES:
            if precision == INT8 or not self.policy.islands or not takes(self.policy.runtime, node, precision):
                continue
            times = slowdown(node, precision, counted=self.counted)
            as_fast = times is not None and times <= _SLOWER and not plain_on_x86(node, precision)
            asked = precision == self.fixed.default and kind_of(node) in BY_DEFAULT
            if self.allow_slower or asked or as_fast:
                found.append(precision)
        return found

    def _uniform(self, dtype: str) -> Graph:
        """All weights of one type where they may have it, 8-bit activations."""
        four = {name: W4A8 for name, allowed in zip(self.names, self.candidates, strict=True) if W4A8 in allowed}
        return self.quantized(plan_of(INT8, four if dtype == "int4" else {}))

    def _options(self, node: Node, allowed: Sequence[Precision], noises: Noises) -> list[Option]:
        row, powers = [], noises.weights.get(node.output.name, {})
        for precision in allowed:
            cost = price(node, precision, counted=self.counted)
            noise = 0.0 if precision == FLOAT else powers.get(precision.weights, 0.0)
            row.append(Option(cost.bytes, sum(cost.instructions or (0.0,)), noise, precision.activations == "int8"))
        return row

    def _activations(self, noises: Noises) -> tuple[list[tuple[float, tuple[int, ...]]], float]:
        """The activations between layers that are chosen, and the noise of all others."""
        index = {id(node): place for place, node in enumerate(self.nodes)}
        values, base = [], 0.0
        for node in self.graph.nodes:
            noise = noises.outputs.get(node.output.name, 0.0)
            if isinstance(node.op, COPIES) or not noise:
                continue  # a copy rounds nothing anew
            around = [node, *node.output.users]
            if all(id(other) in index for other in around) and not self.graph.is_output(node.output):
                values.append((noise, tuple(index[id(other)] for other in around)))
            else:
                base += noise
        return values, base
