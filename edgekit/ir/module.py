"""The graph as an ``nn.Module`` that trains, with the source's parameter names and call signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from edgekit.ir.fake_quant import fake_quantize
from edgekit.ir.graph import Graph, Value
from edgekit.ir.ops.base import Op, as_tuple
from edgekit.ir.quant import QuantParams
from edgekit.ir.types import Batch

_CONSTANTS = "edgekit_constants"


class _Names(nn.Module):
    """Holds parameters and buffers under one component of a dotted name."""


class _Step:
    """One node, ready to run: where its inputs lie, where its outputs go, and which slots are free after it."""

    __slots__ = ("free", "inputs", "op", "outputs", "quant", "takes_batch")

    def __init__(
        self, op: Op, inputs: list[int | None], outputs: list[int], quant: list[QuantParams | None], free: list[int]
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self.quant = quant
        self.free = free
        self.takes_batch = op.at(2) is not op


class GraphModule(nn.Module):
    """A graph that runs and trains.

    Shares the graph's tensors: its parameters are the graph's ``nn.Parameter`` objects, its ``state_dict`` has the source's
        keys, and
    ``forward`` takes the source's arguments and returns its structure. Values with ``quant`` are fake-quantised with a
    straight-through gradient. ``module.graph`` is the graph, with the module's present tensors.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph
        self._slots: dict[int, int] = {}
        self._loads: list[tuple[int, nn.Module, str, QuantParams | None]] = []
        self._register()
        self._steps = self._plan()

    @property
    def graph(self) -> Graph:
        """The graph that this module runs."""
        return self._graph

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The source's call; positional tensors and a tensor or tuple for a graph without a signature.

        Raises:
            TypeError: the arguments are not those of the source.
            ValueError: a tensor's shape does not fit.
        """
        signature = self._graph.signature
        if signature is None:
            if kwargs or len(args) != len(self._graph.inputs):
                raise TypeError(f"this graph takes {len(self._graph.inputs)} positional tensors")
            outputs = self.run(list(args))
            return outputs[0] if len(outputs) == 1 else tuple(outputs)
        return signature.unflatten(self.run(signature.flatten(args, kwargs)))

    def run(
        self, inputs: list[torch.Tensor], observe: Callable[[Value, torch.Tensor], torch.Tensor | None] | None = None
    ) -> list[torch.Tensor]:
        """Graph inputs in, graph outputs out.

        ``observe`` is called with every input and every computed value (not constants); a tensor that it returns replaces
        the value.
        """
        graph = self._graph
        batch = batch_size_of(graph, inputs)
        slots: list[Any] = [None] * len(self._slots)
        for slot, module, name, quant in self._loads:
            data = getattr(module, name)
            slots[slot] = data if quant is None else fake_quantize(data, quant)
        for index, (value, tensor) in enumerate(zip(graph.inputs, inputs, strict=True)):
            tensor = tensor if value.quant is None else fake_quantize(tensor, value.quant)
            if observe is not None:
                seen = observe(value, tensor)
                tensor = tensor if seen is None else seen
            slots[index] = tensor
        for index, step in enumerate(self._steps):
            op = step.op.at(batch) if step.takes_batch else step.op
            results = as_tuple(op.run(*[None if i is None else slots[i] for i in step.inputs], training=self.training))
            for place, (slot, result, quant) in enumerate(zip(step.outputs, results, step.quant, strict=True)):
                result = result if quant is None else fake_quantize(result, quant)
                if observe is not None:
                    seen = observe(graph.nodes[index].outputs[place], result)
                    result = result if seen is None else seen
                slots[slot] = result
            for slot in step.free:
                slots[slot] = None
        return [slots[self._slots[id(v)]] for v in graph.outputs]

    # ------------------------------------------------------------------ set-up

    def _register(self) -> None:
        graph = self._graph
        place: dict[int, tuple[nn.Module, str]] = {}
        for name, value in graph.state.items():
            *path, leaf = name.split(".")
            owner: nn.Module = self
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, _Names())
                owner = owner.get_submodule(part)
            if isinstance(value.data, nn.Parameter):
                owner.register_parameter(leaf, value.data)
            else:
                owner.register_buffer(leaf, value.data, persistent=name not in graph.transient)
            place.setdefault(id(value), (owner, leaf))
        constants = _Names()
        for value in graph.constants():
            if id(value) not in place:
                if value.is_trainable:
                    raise ValueError(f"the parameter {value!r} is not in the graph's state")
                leaf = f"c{len(constants._buffers)}"
                constants.register_buffer(leaf, value.data, persistent=False)
                place[id(value)] = (constants, leaf)
        if constants._buffers:
            self.add_module(_CONSTANTS, constants)
        self._place = place

    def _plan(self) -> list[_Step]:
        graph = self._graph
        for value in graph.inputs:
            self._slots[id(value)] = len(self._slots)
        read = {id(v) for n in graph.nodes for v in n.inputs if v is not None} | {id(v) for v in graph.outputs}
        for value in graph.constants():
            if id(value) in read:
                slot = self._slots[id(value)] = len(self._slots)
                self._loads.append((slot, *self._place[id(value)], value.quant))
        for node in graph.nodes:
            for value in node.outputs:
                self._slots[id(value)] = len(self._slots)
        keep = {id(v) for v in graph.outputs}
        last: dict[int, int] = {}
        for index, node in enumerate(graph.nodes):
            for v in (*node.inputs, *node.outputs):
                if v is not None and not v.is_constant and id(v) not in keep:
                    last[id(v)] = index
        free: list[list[int]] = [[] for _ in graph.nodes]
        for key, index in last.items():
            free[index].append(self._slots[key])
        return [
            _Step(
                node.op,
                [None if v is None else self._slots[id(v)] for v in node.inputs],
                [self._slots[id(v)] for v in node.outputs],
                [v.quant for v in node.outputs],
                free[index],
            )
            for index, node in enumerate(graph.nodes)
        ]

    # ------------------------------------------------------------------ being a module

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> GraphModule:
        """``to``, ``cuda``, ``half``: torch replaces buffers, so the graph takes the new ones."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for value in self._graph.constants():
            owner, leaf = self._place[id(value)]
            value.data = getattr(owner, leaf)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> GraphModule:
        twin = GraphModule(self._graph.__deepcopy__(memo))
        memo[id(self)] = twin
        twin.train(self.training)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._graph, self.training)


def _rebuild(graph: Graph, training: bool) -> GraphModule:
    module = GraphModule(graph)
    module.train(training)
    return module


def batch_size_of(graph: Graph, inputs: Sequence[torch.Tensor]) -> int:
    """The batch size of these inputs (1 where nothing depends on it); ValueError where a shape does not fit the graph."""
    batch = 0
    for value, tensor in zip(graph.inputs, inputs, strict=True):
        fits = tensor.dim() == value.type.rank
        for dim, size in zip(value.type.shape, tensor.shape, strict=False):
            if isinstance(dim, Batch):
                here, rest = size // dim.multiple, size % dim.multiple  # torch.compile knows no divmod of sizes
                fits = fits and rest == 0 and batch in (0, here)
                batch = here
            else:
                fits = fits and dim == size
        if not fits:
            raise ValueError(f"input '{value.name}' is {value.type}, but a tensor of shape {tuple(tensor.shape)} came in")
    return batch or 1
