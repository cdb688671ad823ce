"""A teacher: a network that answers the student's batches and never changes."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from edgekit.errors import InputError, UsageError
from edgekit.ir import Graph, Value
from edgekit.ir.module import GraphModule
from edgekit.ir.types import TensorType
from edgekit.tables import did_you_mean
from edgekit.train.logits import Logits, find_logits
from edgekit.train.memory_format import MemoryFormat

#: The batch at which shapes are compared; 1 would be broadcast.
PROBE = 2


class Teacher(ABC):
    """Runs in evaluation mode, without gradients, on a copy of its own.

    Attributes:
        name: how errors and records call it.
        module: the network; moves to the device of the batches.
        shapes: of each output's logits (or of the output, where they are unknown) at batch ``PROBE``.
        features: shapes of the watched values at batch ``PROBE``, samples first.
    """

    name: str
    module: nn.Module
    shapes: list[tuple[int, ...]]
    features: dict[str, tuple[int, ...]]

    def logits(self, output: int) -> Logits | None:
        """Where an output's logits are; None where that cannot be known."""
        return None

    @torch.no_grad()
    def __call__(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
        """The teacher's answer to a batch of the student's.

        Returns:
            Its logits, its outputs, and the watched features with samples along axis 0.
        """
        device = inputs[0].device
        if next((p.device for p in self.module.parameters()), device) != device:
            self.module.to(device)
        return self._run(inputs)

    @abstractmethod
    def _run(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]: ...


class GraphTeacher(Teacher):
    """A teacher whose inner values are named."""

    def __init__(self, graph: Graph, name: str, student: Graph, watches: Sequence[str]) -> None:
        self.name = name
        module = copy.deepcopy(graph.module()).eval().requires_grad_(False)
        self.module, self._graph_module = module, module
        graph = module.graph
        self._format = MemoryFormat(graph)
        self._format.arrange(module)
        self._order = _order(graph, student, name)
        self._logits = [find_logits(value) for value in graph.outputs]
        watched = {watch: value_named(graph, watch, f"the teacher '{name}'") for watch in dict.fromkeys(watches)}
        self._axes = {watch: sample_axis(value.type) for watch, value in watched.items()}
        self._seen = {id(value) for value in watched.values()} | {id(logits.value) for logits in self._logits}
        self._watched = watched
        self.shapes = [logits.value.type.at(PROBE) for logits in self._logits]
        self.features = {watch: samples_first(value.type) for watch, value in watched.items()}

    def logits(self, output: int) -> Logits:
        """Where an output's logits are."""
        return self._logits[output]

    def _run(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
        kept: dict[int, Tensor] = {}

        def observe(value: Value, tensor: Tensor) -> None:
            if id(value) in self._seen:
                kept[id(value)] = tensor

        given = self._format.going_in([inputs[index] for index in self._order])
        outputs = self._format.coming_out(self._graph_module.run(given, observe))
        seen = {key: tensor.contiguous() for key, tensor in kept.items()}
        features = {watch: seen[id(value)].movedim(self._axes[watch], 0) for watch, value in self._watched.items()}
        return [seen[id(logits.value)] for logits in self._logits], outputs, features


class ModuleTeacher(Teacher):
    """A teacher given as ``nn.Module``; its features are the outputs of submodules."""

    def __init__(self, module: nn.Module, name: str, student: Graph, watches: Sequence[str]) -> None:
        self.name = name
        try:
            self.module = copy.deepcopy(module).eval().requires_grad_(False)
        except Exception as error:
            raise InputError(
                f"the teacher '{name}' cannot be copied: {error}",
                where=name,
                hint="give it as a graph: edgekit.load(teacher)",
            ) from error
        self._kept: dict[str, Any] = {}
        known = dict(self.module.named_modules())
        for watch in dict.fromkeys(watches):
            if watch not in known:
                raise UsageError(
                    f"the teacher '{name}' has no submodule '{watch}'", where=name, hint=did_you_mean(watch, [*known])
                )
            known[watch].register_forward_hook(self._keep(watch))
        probe = [torch.zeros(value.type.at(PROBE), dtype=value.type.dtype) for value in student.inputs]
        outputs, _, features = self(probe)
        self.shapes = [tuple(output.shape) for output in outputs]
        self.features = {watch: tuple(tensor.shape) for watch, tensor in features.items()}

    def _keep(self, watch: str) -> Any:
        def hook(_: nn.Module, __: Any, result: Any) -> None:
            self._kept[watch] = result

        return hook

    def _run(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
        self._kept.clear()
        try:
            result = self.module(*inputs)
        except (TypeError, RuntimeError, ValueError) as error:
            raise InputError(
                f"the teacher '{self.name}' does not take the student's inputs: {error}",
                where=", ".join(str(tuple(x.shape)) for x in inputs),
                hint="teacher and student see the very same batch: wrap the teacher in a module that adapts it",
            ) from error
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        for watch, tensor in self._kept.items():
            if not isinstance(tensor, Tensor):
                raise UsageError(
                    f"'{watch}' of the teacher '{self.name}' gives a {type(tensor).__name__}, not a tensor",
                    where=self.name,
                    hint="name a submodule that gives a tensor, or give the teacher as a graph: edgekit.load(teacher)",
                )
        return outputs, outputs, dict(self._kept)


def make_teacher(source: Graph | nn.Module, name: str, student: Graph, watches: Sequence[str]) -> Teacher:
    """A teacher for this student.

    Args:
        source: the network; is copied.
        name: for errors.
        student: whose inputs it will be given.
        watches: names of its inner values that are wanted.

    Raises:
        UsageError: it has no such values; the nearest is named.
        InputError: it takes other inputs, or can't be copied.
    """
    if isinstance(source, GraphModule):
        source = source.graph
    if isinstance(source, Graph):
        return GraphTeacher(source, name, student, watches)
    return ModuleTeacher(source, name, student, watches)


def value_named(graph: Graph, name: str, whose: str) -> Value:
    """The computed value (or input) of this name.

    Raises:
        UsageError: there is none; the nearest is named.
    """
    values = {value.name: value for value in (*graph.inputs, *(v for node in graph.nodes for v in node.outputs))}
    if name not in values:
        what = "is a constant, not a computed value," if name in graph.state else "is no value"
        raise UsageError(f"'{name}' {what} of {whose}", where=graph.name, hint=did_you_mean(name, values))
    return values[name]


def sample_axis(type: TensorType) -> int:
    """The axis that grows with the batch; 0 where none does."""
    one, two = type.at(1), type.at(PROBE)
    return next((axis for axis in range(type.rank) if one[axis] != two[axis]), 0)


def samples_first(type: TensorType) -> tuple[int, ...]:
    """The shape at batch ``PROBE`` with the samples' axis in front."""
    shape, axis = list(type.at(PROBE)), sample_axis(type)
    return tuple(shape[axis : axis + 1] + shape[:axis] + shape[axis + 1 :]) if shape else ()


def _order(graph: Graph, student: Graph, name: str) -> list[int]:
    """Which of the student's inputs each of the teacher's takes: by name where all names agree, else in order."""
    names = [value.name for value in student.inputs]
    wanted = [value.name for value in graph.inputs]
    order = [names.index(n) for n in wanted] if sorted(names) == sorted(wanted) else list(range(len(wanted)))
    given = [str(student.inputs[index].type) for index in order] if len(wanted) == len(names) else [str(len(names))]
    taken = [str(value.type) for value in graph.inputs] if len(wanted) == len(names) else [str(len(wanted))]
    if given != taken:
        raise InputError(
            f"the teacher '{name}' takes {', '.join(taken)} and the student {', '.join(given)}",
            where=f"inputs {', '.join(wanted)}",
            hint="teacher and student see the very same batch: give both the same inputs",
        )
    return order
