"""One branch of an IF while it is being written: a subgraph that takes in what it reads from outside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edgekit.export.tflite.layout.form import Form
from edgekit.export.tflite.sheet import Sheet
from edgekit.formats.tflite.model import Tensor
from edgekit.ir import Node, Value


@dataclass
class Branch:
    """A subgraph of its own, with its own tensors: what is computed outside comes in as an input, constants are written here.

    Attributes:
        sheet: its tensors and operators.
        tensors: the tensor of a value in a form, as in the emission.
        expanded: constants expanded to float, as in the emission.
        taken: what it reads from outside, in the order of its inputs, and the tensor that this is here.
    """

    sheet: Sheet = field(default_factory=Sheet)
    tensors: dict[tuple[int, Form], int] = field(default_factory=dict)
    expanded: dict[int, int] = field(default_factory=dict)
    taken: dict[tuple[int, Form], tuple[Value, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, node: Node) -> Branch:
        """An empty branch of the operator that is written for ``node``."""
        branch = cls()
        branch.sheet.node = node
        return branch

    def take(self, value: Value, form: Form, like: Tensor) -> int:
        """The input through which a value comes in, in a form; ``like`` is the tensor outside."""
        key = (id(value), form)
        if key not in self.taken:
            index = self.sheet.activation(like.shape, like.type, like.quantization, like.name)
            self.taken[key] = (value, index)
            self.tensors.setdefault(key, index)
        return self.taken[key][1]

    def close(self, inputs: Iterable[tuple[Value, Form, Tensor]], output: int) -> None:
        """Both branches of an IF have the same inputs, read or not."""
        self.sheet.inputs = [self.take(value, form, like) for value, form, like in inputs]
        self.sheet.outputs = [output]
