"""A random network as plain data: rows of the operator table, and which values each reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from benchmarks.operators.families import ROWS
from benchmarks.operators.row import Given, Row

ROW = {row.name: row for row in ROWS}

#: Samples that a network is run on.
BATCH = 3


@dataclass(frozen=True)
class Step:
    """One row of the table in a network.

    Attributes:
        row: its name.
        reads: names of the values that go in.
        key: seeds the weights, so that they stay what they are when other steps go.
    """

    row: str
    reads: tuple[str, ...]
    key: int

    def result(self, place: int) -> str:
        """The name of one of its results."""
        return f"s{self.key}" if place == 0 else f"s{self.key}_{place}"


@dataclass(frozen=True)
class Program:
    """A network.

    Attributes:
        seed: of the inputs' numbers.
        inputs: name -> what it is.
        steps: in an order in which every value is there before it is read.
        outputs: names of the values that are returned.
    """

    seed: int
    inputs: dict[str, Given]
    steps: tuple[Step, ...] = ()
    outputs: tuple[str, ...] = ()

    def draw(self, batch: int = BATCH) -> tuple[Tensor, ...]:
        """Inputs of a call."""
        random = torch.Generator().manual_seed(self.seed)
        return tuple(given.draw(batch, random) for given in self.inputs.values())

    def with_only(self, outputs: Sequence[str]) -> Program:
        """The same without the steps and inputs that these outputs do not need."""
        needed, steps = set(outputs), []
        for step in reversed(self.steps):
            if any(step.result(place) in needed for place in range(16)):
                needed.update(step.reads)
                steps.append(step)
        kept = {name: given for name, given in self.inputs.items() if name in needed}
        return replace(self, inputs=kept, steps=tuple(reversed(steps)), outputs=tuple(outputs))


class Network(nn.Module):
    """A program as a module. Building it runs it once, so that every step knows the shapes that it is given."""

    def __init__(self, program: Program) -> None:
        """Raises whatever a step raises where it does not fit what it reads."""
        super().__init__()
        self.program = program
        self.layers = nn.ModuleDict()
        with torch.no_grad():
            values = dict(zip(program.inputs, program.draw(), strict=True))
            for step in program.steps:
                self.layers[f"s{step.key}"] = made = layer_of(step, [values[name] for name in step.reads])
                values.update(results(step, made, values))
        self.shapes = {name: tuple(value.shape) for name, value in values.items()}
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = dict(zip(self.program.inputs, inputs, strict=True))
        for step in self.program.steps:
            values.update(results(step, self.layers[f"s{step.key}"], values))
        return tuple(values[name] for name in self.program.outputs)


def layer_of(step: Step, reads: Sequence[Tensor]) -> nn.Module:
    """The module of a step for what it reads, its weights seeded by the step's key."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(step.key)
        return row_of(step).module(*[tuple(x.shape[1:]) for x in reads])


def row_of(step: Step) -> Row:
    """The row of the table."""
    return ROW[step.row]


def results(step: Step, layer: nn.Module, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a step gives, by name."""
    leaves = pytree.tree_leaves(layer(*[values[name] for name in step.reads]))
    return {step.result(place): leaf for place, leaf in enumerate(leaves)}
