"""How the source is called: argument names, and the nesting of its inputs and outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Signature:
    """Call signature of the source.

    ``parameters`` are the names of the forward's parameters in order. ``inputs`` and ``outputs`` are torch's serialised
    tree specs of ``(args, kwargs)`` and of the result. ``input_slots`` gives, for each leaf of the inputs, the index of the
    graph input, or None for a constant leaf (``input_constants`` holds its value: a number, bool, string or None).
    ``output_slots`` likewise.
    """

    parameters: tuple[str, ...]
    inputs: str
    outputs: str
    input_slots: tuple[int | None, ...]
    input_constants: tuple[Any, ...]
    output_slots: tuple[int | None, ...]
    output_constants: tuple[Any, ...]

    def __post_init__(self) -> None:
        # Read once: a call needs both, and torch.compile cannot trace the reading.
        object.__setattr__(self, "_trees", (tree_of(self.inputs), tree_of(self.outputs)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Signature, tuple(getattr(self, field.name) for field in fields(self))

    def flatten(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Graph inputs, in order, from the arguments of a call. TypeError where the nesting differs from the source's example.

        Arguments may be given by position or by name, whichever the example used.
        """
        spec = self._input_tree
        given = dict(zip(self.parameters, args, strict=False)) if len(args) <= len(self.parameters) else None
        leaves, actual = pytree.tree_flatten((args, kwargs))
        if actual != spec:
            wanted = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
            if given is None or set(given) & set(kwargs):
                raise TypeError(f"this graph takes arguments nested as {wanted}")
            given.update(kwargs)
            count = len(wanted[0])
            try:
                args = tuple(given.pop(name) for name in self.parameters[:count])
                kwargs = {name: given.pop(name) for name in wanted[1]}
            except KeyError as error:
                raise TypeError(f"missing argument {error}") from None
            if given:
                raise TypeError(f"unexpected arguments {sorted(given)}")
            leaves, actual = pytree.tree_flatten((args, kwargs))
            if actual != spec:
                raise TypeError(f"this graph takes arguments nested as {wanted}")
        count = sum(slot is not None for slot in self.input_slots)
        out: list[Any] = [None] * count
        for leaf, slot, constant in zip(leaves, self.input_slots, self.input_constants, strict=True):
            if slot is not None:
                out[slot] = leaf
            elif leaf is not constant and leaf != constant:
                raise TypeError(f"the graph was made for the argument {constant!r}, not {leaf!r}")
        return out

    def outputs_of(self, source: Callable[..., Any], inputs: Sequence[Any]) -> list[Any]:
        """Calls the source with graph inputs in place of its arguments; the leaves of its result that are graph outputs, in
        order.
        """
        leaves = [
            constant if slot is None else inputs[slot]
            for slot, constant in zip(self.input_slots, self.input_constants, strict=True)
        ]
        args, kwargs = pytree.tree_unflatten(leaves, self._input_tree)
        result, _ = pytree.tree_flatten(source(*args, **kwargs))
        count = max((slot for slot in self.output_slots if slot is not None), default=-1) + 1
        outputs: list[Any] = [None] * count
        for leaf, slot in zip(result, self.output_slots, strict=True):
            if slot is not None:
                outputs[slot] = leaf
        return outputs

    def unflatten(self, outputs: list[Any]) -> Any:
        """The source's result structure around the graph's outputs."""
        leaves = [
            constant if slot is None else outputs[slot]
            for slot, constant in zip(self.output_slots, self.output_constants, strict=True)
        ]
        return pytree.tree_unflatten(leaves, self._output_tree)

    @property
    def _input_tree(self) -> pytree.TreeSpec:
        trees: tuple[pytree.TreeSpec, pytree.TreeSpec] = self.__dict__["_trees"]
        return trees[0]

    @property
    def _output_tree(self) -> pytree.TreeSpec:
        trees: tuple[pytree.TreeSpec, pytree.TreeSpec] = self.__dict__["_trees"]
        return trees[1]


def tree_of(text: str) -> pytree.TreeSpec:
    """A serialised tree spec. A class that this process does not know (a named tuple of the source's) becomes a plain tuple:
    reading a file imports nothing.
    """
    try:
        return pytree.treespec_loads(text)
    except NotImplementedError:
        version, tree = json.loads(text)
        return pytree.treespec_loads(json.dumps([version, _known(tree)]))


def _known(tree: dict[str, Any]) -> dict[str, Any]:
    children = [_known(child) for child in tree["children_spec"]]
    try:
        pytree.treespec_loads(json.dumps([1, {**tree, "children_spec": []}]))
    except NotImplementedError:
        return {"type": "builtins.tuple", "context": "null", "children_spec": children}
    return {**tree, "children_spec": children}
