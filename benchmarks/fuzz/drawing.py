"""Draws a network from a seed: residuals, branches and joins, odd sizes, ranks from two to five, several inputs and outputs."""

from __future__ import annotations

import random
import warnings
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.fuzz.program import Program, Step, layer_of, results, row_of
from benchmarks.operators.families import FAMILIES
from benchmarks.operators.row import Given, Row

#: Elements of a sample at most: networks are many, not large.
_MOST_ELEMENTS = 1500

#: More are refused by name for TFLite, by most operators.
_MOST_DIMENSIONS = 6

#: Numbers that float32 still sums to six digits, and that are not all but zero.
_LARGEST, _SMALLEST = 300.0, 1e-3

#: How often a family is drawn, where not once: families of many rows that networks are made of.
_WEIGHTS = {
    "Convolutions and linear layers": 4,
    "Activations": 3,
    "Normalisation": 2,
    "Pools": 2,
    "Arithmetic": 3,
    "Recurrent layers": 0.3,
    "Attention": 0.7,
}


class Drawing:
    """A network that grows."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.program = Program(seed, {})
        self.values: dict[str, Tensor] = {}
        #: Values that every runtime gives bit for bit: inputs, and what was only moved.
        self.exact: set[str] = set()
        self.key = seed * 100

    def grow(self) -> Program:
        """The network of this seed."""
        for _ in range(self.random.choice((1, 1, 1, 2))):
            self.add_input(Given(self._shape()))
        wanted = self.random.randint(2, 8)
        for _ in range(60):
            if len(self.program.steps) == wanted:
                break
            self.try_step()
        read = {name for step in self.program.steps for name in step.reads}
        results = [name for name in self.values if name not in self.program.inputs]
        ends = [name for name in results if name not in read]
        middle = [name for name in results if name in read and self.random.random() < 0.15]
        return self.program.with_only([*ends[-4:], *middle[:2]])

    def _shape(self) -> tuple[int, ...]:
        size = self.random.randint
        kind = self.random.choice(("image", "image", "image", "signal", "signal", "rows", "volume"))
        if kind == "image":
            return (size(1, 6), size(3, 11), size(3, 11))
        if kind == "signal":
            return (size(1, 8), size(5, 21))
        return (size(2, 13),) if kind == "rows" else (size(1, 3), size(2, 4), size(2, 5), size(2, 5))

    def add_input(self, given: Given) -> str:
        """One more input."""
        name = f"x{len(self.program.inputs)}"
        self.program = replace(self.program, inputs={**self.program.inputs, name: given})
        self.values = dict(zip(self.program.inputs, self.program.draw(), strict=True)) | {
            other: value for other, value in self.values.items() if other not in self.program.inputs
        }
        self.exact.add(name)
        return name

    def try_step(self) -> None:
        """One more step, if what was drawn fits."""
        families = list(FAMILIES)
        (family,) = self.random.choices(families, [_WEIGHTS.get(name, 1.0) for name in families])
        rows = [row for row in FAMILIES[family] if row.fuzz and not row.refused]
        if not rows:
            return
        row = self.random.choice(rows)
        before = self.program, dict(self.values), set(self.exact)
        reads = self._reads(row)
        if reads is None or not self._append(row, reads):
            self.program, self.values, self.exact = before

    def _reads(self, row: Row) -> tuple[str, ...] | None:
        """Values for a row's inputs: floats of the rank that it wants, indices and masks of their own."""
        same = len({given.shape for given in row.inputs}) == 1
        reads: list[str] = []
        for given in row.inputs:
            if given.kind != "normal":
                reads.append(self.add_input(given))
                continue
            fits = [name for name in self.values if self._fits(row, given, name)]
            if reads and same:
                fits = [name for name in fits if self.values[name].shape == self.values[reads[0]].shape]
            if not fits:
                return None
            recent = fits[-3:] if self.random.random() < 0.7 else fits
            reads.append(self.random.choice(recent))
        return tuple(reads)

    def _fits(self, row: Row, given: Given, name: str) -> bool:
        value = self.values[name]
        if value.dtype != torch.float32 or (row.jumps and (name not in self.exact or _has_ties(value))):
            return False
        return row.any_rank or value.dim() == len(given.shape) + 1

    def _append(self, row: Row, reads: tuple[str, ...]) -> bool:
        self.key += 1
        step = Step(row.name, reads, self.key)
        try:
            with torch.no_grad():
                layer = layer_of(step, [self.values[name] for name in reads])
                made = results(step, layer, {name: value.clone() for name, value in self.values.items()})
        except (RuntimeError, ValueError, IndexError, AssertionError, TypeError, ZeroDivisionError):
            return False  # torch does not take such shapes
        if not all(_usable(value, self.values[reads[0]]) for value in made.values()):
            return False
        self.program = replace(self.program, steps=(*self.program.steps, step))
        self.values |= made
        if row_of(step).moves and all(name in self.exact for name in reads):
            self.exact |= set(made)
        return True


def _has_ties(value: Tensor) -> bool:
    """Of equal elements PyTorch takes any for the largest."""
    return value.unique().numel() < value.numel()


def _usable(value: Tensor, read: Tensor) -> bool:
    """Not empty, not too large, the batch still first, and numbers that float32 can tell apart."""
    if value.dim() < 2 or value.shape[0] != read.shape[0] or not 0 < value[0].numel() <= _MOST_ELEMENTS:
        return value.dim() == 1 and value.shape == read.shape[:1] and value.isfinite().all().item()
    if value.dim() > _MOST_DIMENSIONS:
        return False
    if not value.is_floating_point():
        return True
    if value.dtype != torch.float32 or not bool(torch.isfinite(value).all()):
        return False
    return _SMALLEST < float(value.abs().max()) < _LARGEST


def draw(seed: int) -> Program:
    """The network of a seed; of the next one where this one has no steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch speaks of copies that some paddings take
        program = Drawing(seed).grow()
    return program if program.steps else draw(seed + 1_000_003)
