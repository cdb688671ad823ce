"""One row of the operator table: what a user writes in PyTorch, on which inputs, and how close each runtime must come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

#: The targets that every row is built for.
TARGETS = ("tflite-fp32", "onnx-fp32", "tflite-int8", "onnx-int8")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Given:
    """One input of a row: the shape of a sample, and what its elements are."""

    shape: Shape
    kind: Literal["normal", "index", "truth", "integer"] = "normal"
    below: int = 10

    def draw(self, batch: int, random: torch.Generator) -> Tensor:
        """So many samples."""
        shape = (batch, *self.shape)
        if self.kind == "normal":
            return torch.randn(shape, generator=random)
        if self.kind == "truth":
            return torch.rand(shape, generator=random) < 0.5
        low = 0 if self.kind == "index" else -self.below
        return torch.randint(low, self.below, shape, generator=random)


def index(*shape: int, below: int) -> Given:
    """Indices from 0."""
    return Given(shape, "index", below)


def truth(*shape: int) -> Given:
    """True or false."""
    return Given(shape, "truth")


def integer(*shape: int) -> Given:
    """Whole numbers of both signs."""
    return Given(shape, "integer")


@dataclass(frozen=True)
class Row:
    """An operator in one form.

    Attributes:
        name: as users write it, with what is particular about this form.
        make: shapes of the inputs' samples -> the module or function.
        inputs: of a call; the batch comes before every shape.
        tolerance: of float targets, relative to an output's largest element.
        decibels: what the int8 files keep at least of the float numbers.
        steps: how far an int8 file may be from the integer simulation where all of it runs in integers.
        why: the reason for a tolerance, floor or number of steps that is not the usual one.
        refused: ``"source"`` or a target -> a part of the error's first line.
        jumps: a small change of the input may change the output by a step.
        moves: elements are moved, picked or compared and never changed.
        any_rank: the function takes inputs of any rank.
        fuzz: networks may be composed of it.
    """

    name: str
    make: Callable[..., nn.Module | Callable[..., Any]]
    inputs: tuple[Given, ...]
    tolerance: float = 1e-5
    decibels: float = 25.0
    steps: int = 0
    why: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    jumps: bool = False
    moves: bool = False
    any_rank: bool = False
    fuzz: bool = True

    def __post_init__(self) -> None:
        unusual = (self.tolerance, self.decibels, self.steps) != (1e-5, 25.0, 0)
        if unusual and not self.why:
            raise ValueError(f"'{self.name}' has bounds of its own and no reason")

    @property
    def floor(self) -> float:
        """What int8 files must keep, in dB: rounding an input moves some elements over the steps of a function with steps."""
        return min(self.decibels, 5.0) if self.jumps else self.decibels

    def module(self, *shapes: Shape) -> nn.Module:
        """The module for inputs of these shapes (those of the table by default), with settled random weights."""
        made = self.make(*(shapes or [given.shape for given in self.inputs]))
        return settled(made if isinstance(made, nn.Module) else Function(made)).eval()

    def draw(self, batch: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs of a call."""
        random = torch.Generator().manual_seed(seed)
        return tuple(given.draw(batch, random) for given in self.inputs)


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Any:
        return self.function(*tensors)


def settled(module: nn.Module) -> nn.Module:
    """Statistics and factors of norms that are not the initial ones."""
    for name, tensor in module.named_buffers():
        if tensor.is_floating_point() and "running" in name:
            tensor.uniform_(0.5, 1.5) if "var" in name else tensor.normal_(0.0, 0.3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm | nn.InstanceNorm2d | nn.RMSNorm):
            for parameter in part.parameters(recurse=False):
                nn.init.uniform_(parameter, 0.5, 1.5)
    return module


def layer(name: str, make: Callable[..., nn.Module], *inputs: Shape | Given, **bounds: Any) -> Row:
    """A row of a module that is made for the shapes of its inputs."""
    return Row(name, make, _given(inputs), **bounds)


def function(name: str, called: Callable[..., Any], *inputs: Shape | Given, **bounds: Any) -> Row:
    """A row of a plain function of tensors."""
    return Row(name, lambda *shapes: called, _given(inputs), **bounds)


def refused(name: str, called: Callable[..., Any], what: str, *inputs: Shape | Given) -> Row:
    """A row that the frontend refuses, with a part of its error's first line."""
    return Row(name, lambda *shapes: called, _given(inputs), refused={"source": what}, fuzz=False)


def _given(inputs: tuple[Shape | Given, ...]) -> tuple[Given, ...]:
    return tuple(each if isinstance(each, Given) else Given(each) for each in inputs)
