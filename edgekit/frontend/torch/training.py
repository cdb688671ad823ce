"""What the source does only in training, found by a second trace in train mode where the code gives reason for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

import torch
from torch import fx, nn
from torch._ops import OpOverload
from torch.export.exported_program import ExportedProgram

from edgekit.frontend.torch.forward_code import ForwardCode
from edgekit.frontend.torch.places import where

#: Names in code that make a module suspect of computing something else in training.
_SUSPECT = {"training", "is_grad_enabled"}
#: Arguments that say "training" and are lowered with that in mind.
_EXPECTED = {"train", "training", "dropout_p", "momentum", "p"}


@dataclass
class TrainingTrace:
    """The nodes of the inference trace beside those of the training trace.

    Attributes:
        twins: node of the inference trace -> the same node in training.
        only_in_training: nodes that only the training trace has.
        different: nodes of the inference trace that training leaves out or computes with other numbers.
        other_result: the results differ in structure.
    """

    twins: dict[fx.Node, fx.Node] = field(default_factory=dict)
    only_in_training: list[fx.Node] = field(default_factory=list)
    different: list[fx.Node] = field(default_factory=list)
    other_result: bool = False

    def argument(self, node: fx.Node, name: str, otherwise: Any) -> Any:
        """What an argument (by its schema's name) of a node is in training."""
        twin = self.twins.get(node)
        if twin is None or not isinstance(twin.target, OpOverload):
            return otherwise
        for position, argument in enumerate(twin.target._schema.arguments):
            if argument.name == name:
                if position < len(twin.args):
                    return twin.args[position]
                return twin.kwargs.get(name, argument.default_value if argument.has_default_value() else otherwise)
        return otherwise

    def notes(self) -> Iterator[str]:
        """One line for each place that acts only in training and is not in the graph."""
        if self.other_result:
            yield "in training the model returns something of another structure; the graph returns what inference does"
        dropped = (self.only_in_training, "acts only in training and is not in the graph")
        changed = (self.different, "is other in training; the graph has the inference form")
        for nodes, word in (dropped, changed):
            places: dict[str, list[str]] = {}
            for node in nodes:
                places.setdefault(str(where(node)), []).append(_op(node))
            for place, ops in places.items():
                yield f"{place}: {', '.join(dict.fromkeys(ops))} {word}"


def compare(inference: ExportedProgram, training: ExportedProgram) -> TrainingTrace:
    """Matches the nodes of two traces of one model by op, module and line."""
    before, after = _calls(inference), _calls(training)
    trace = TrainingTrace(other_result=inference.call_spec.out_spec != training.call_spec.out_spec)
    matcher = SequenceMatcher(None, [_key(n) for n in before], [_key(n) for n in after], autojunk=False)
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        if kind == "equal":
            for node, twin in zip(before[a:a_end], after[b:b_end], strict=True):
                trace.twins[node] = twin
                if _numbers(node) != _numbers(twin):
                    trace.different.append(node)
        else:
            trace.different += before[a:a_end]
            trace.only_in_training += after[b:b_end]
    return trace


def is_suspect(module: nn.Module, code: ForwardCode) -> bool:
    """Whether code of the user's (or of a library that is not torch) may do something else in training."""
    return bool(code.names & _SUSPECT) or any(type(part).train is not nn.Module.train for part in module.modules())


def silent_in_trace(module: nn.Module) -> Iterator[str]:
    """torch's own layers that act in training and leave nothing of it in an inference trace."""
    for path, part in module.named_modules():
        hooks = part._forward_pre_hooks.values()
        if type(part).__name__ == "_SpectralNorm" or any(type(hook).__name__ == "SpectralNorm" for hook in hooks):
            yield f"{path}: spectral norm's power iteration acts only in training and is not in the graph"


# ---------------------------------------------------------------------- reading traces


def _calls(program: ExportedProgram) -> list[fx.Node]:
    """Ops of a trace, without sizes and without the bookkeeping of batch norms."""
    return [
        node
        for node in program.graph.nodes
        if node.op == "call_function"
        and isinstance(node.target, OpOverload)
        and isinstance(node.meta.get("val"), torch.Tensor | tuple | list)
        and not _is_bookkeeping(node)
    ]


def _is_bookkeeping(node: fx.Node) -> bool:
    calls = list(node.meta.get("nn_module_stack", {}).values())
    kind = str(calls[-1][1]) if calls else ""
    is_counter = "batchnorm" in kind and _op(node) in ("add_", "add", "copy_")
    return is_counter or node.name.startswith("copy__default")


def _key(node: fx.Node) -> tuple[Any, ...]:
    place = where(node)
    return (node.target, place.module, place.line)


def _op(node: fx.Node) -> str:
    return node.target._schema.name.partition("::")[2] if isinstance(node.target, OpOverload) else str(node.target)


def _numbers(node: fx.Node) -> list[Any]:
    """Arguments that are plain numbers and words, those left out that are lowered with training in mind."""
    assert isinstance(node.target, OpOverload)
    names = [argument.name for argument in node.target._schema.arguments]
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    return [(k, v) for k, v in given.items() if k not in _EXPECTED and _is_plain(v)]


def _is_plain(value: Any) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return all(_is_plain(item) for item in value)
    return isinstance(value, int | float | bool | str)
