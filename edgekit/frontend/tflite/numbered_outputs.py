"""Several outputs of a converted model in the order of the model: TensorFlow's converter numbers them, and mixes them up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from edgekit.formats.tflite.model import Model

_NUMBERED = re.compile(r"(?:output|Identity|StatefulPartitionedCall|PartitionedCall)(?:[_:](\d+))?$")


def with_numbered_outputs(model: Model, names: Sequence[str]) -> Model:
    """The model with the outputs of its first subgraph in the order of their numbers, and with names.

    Args:
        model: is left as it is.
        names: of the outputs, as many as there are; none leaves the model as it is.
    """
    signature = next((s for s in model.signatures if s.subgraph == 0), None)
    if not names or signature is None or len(set(signature.outputs.values())) != len(names):
        return model
    numbers = {label: _number(label) for label in signature.outputs}
    if sorted(numbers.values()) != list(range(len(names))) or {*signature.outputs.values()} != {*model.main.outputs}:
        return model
    ordered = {names[numbers[label]]: signature.outputs[label] for label in sorted(numbers, key=numbers.__getitem__)}
    if len(ordered) != len(names):  # two of one name
        ordered = {label: signature.outputs[label] for label in sorted(numbers, key=numbers.__getitem__)}
    main = replace(model.main, outputs=tuple(ordered.values()))
    signatures = tuple(replace(s, outputs=ordered) if s is signature else s for s in model.signatures)
    return replace(model, subgraphs=(main, *model.subgraphs[1:]), signatures=signatures)


def _number(label: str) -> int:
    """What TensorFlow counted an output as; -1 for a name of another kind."""
    found = _NUMBERED.match(label)
    return -1 if found is None else int(found[1] or 0)
