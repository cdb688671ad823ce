"""The source's parameters and buffers, under their names and in their order there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.export.exported_program import ExportedProgram

from edgekit.errors import Unsupported
from edgekit.ir import Graph, Value


class Entry(NamedTuple):
    """One name of the source's state. ``transient``: a buffer that the state_dict leaves out."""

    name: str
    tensor: torch.Tensor
    transient: bool


def of_module(module: nn.Module) -> Iterator[Entry]:
    """The state of a module in the order of its ``state_dict``; a shared parameter comes under each of its names."""
    for path, part in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for name, parameter in part._parameters.items():
            if parameter is not None:
                yield Entry(prefix + name, parameter, False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                yield Entry(prefix + name, buffer, name in part._non_persistent_buffers_set)


def of_program(program: ExportedProgram) -> Iterator[Entry]:
    """The state of an exported program."""
    trainable = set(program.graph_signature.parameters)
    for name, tensor in program.state_dict.items():
        if name in trainable and not isinstance(tensor, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=tensor.is_floating_point())
        yield Entry(name, tensor, False)
    for name in program.graph_signature.non_persistent_buffers:
        yield Entry(name, program.constants[name], True)


def add_state(graph: Graph, entries: Iterator[Entry]) -> None:
    """Gives a graph the source's state; raises what ``check`` raises."""
    known: dict[int, Value] = {}
    for name, tensor, transient in check(entries):
        seen = known.get(id(tensor))
        known[id(tensor)] = graph.add_state(name, tensor if seen is None else seen, transient=transient)


def check(entries: Iterator[Entry]) -> list[Entry]:
    """The entries, all of them plain tensors.

    Raises:
        Unsupported: one is not (sparse, quantised by torch, complex, not initialised).
    """
    checked = list(entries)
    for name, tensor, _ in checked:
        _check(name, tensor)
    return checked


def _check(name: str, tensor: torch.Tensor) -> None:
    if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
        raise Unsupported(
            f"'{name}' has no shape yet (a lazy module)", where=name, hint="run the model once on an example before loading it"
        )
    if tensor.is_quantized or tensor.layout is not torch.strided or tensor.is_complex():
        kind = "complex" if tensor.is_complex() else "quantised by torch" if tensor.is_quantized else str(tensor.layout)
        raise Unsupported(
            f"'{name}' is {kind}", where=name, hint="give the model plain float tensors; edgekit quantises by itself"
        )
    if tensor.is_meta:
        raise Unsupported(f"'{name}' has no data (device meta)", where=name, hint="load the weights first")


def unregistered(module: nn.Module) -> Iterator[str]:
    """Attributes (dotted) that are plain lists or dicts of parameters or modules: the model does not know of those."""
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            if not name.startswith("_") and any(isinstance(item, nn.Parameter | nn.Module) for item in held):
                yield f"{path}.{name}".removeprefix(".")


def modules_by_path(module: nn.Module) -> Mapping[str, nn.Module]:
    """All modules of a source by dotted path, ``""`` for itself."""
    return dict(module.named_modules(remove_duplicate=False))
