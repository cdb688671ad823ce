"""What emitters write through: the graph's values as tensors of the file, in the forms that the assignment chose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.errors import Unsupported
from edgekit.export.half import SMALLEST_FLOAT16, fits_float16
from edgekit.export.tflite.branch import Branch
from edgekit.export.tflite.constants import arrange, values_of
from edgekit.export.tflite.element_types import quantization, tensor_type
from edgekit.export.tflite.layout.assign import Assignment
from edgekit.export.tflite.layout.form import Form, source
from edgekit.export.tflite.layout.modes import Mode
from edgekit.export.tflite.layout.movement import Transpose, steps
from edgekit.export.tflite.options import TfliteOptions
from edgekit.export.tflite.sheet import Sheet
from edgekit.formats.tflite.model import Options, Quantization
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.ir import Graph, Node, QuantParams, Value


class Emission:
    """A graph on its way into a file."""

    def __init__(self, graph: Graph, assignment: Assignment, options: TfliteOptions) -> None:
        self.graph = graph
        self.batch = options.batch
        self.micro = options.micro
        self.sheet = Sheet()
        self.subgraphs: list[Sheet] = []  # bodies of loops and branches, written behind the main one
        #: Writes nodes here and now; False where one of them, or what it reads, was refused. The exporter's.
        self.write_nodes: Callable[[Sequence[Node]], bool] = lambda nodes: not nodes
        self._assignment = assignment
        self._float16 = options.float16
        self._all_names = options.all_names
        self._tensors: dict[tuple[int, Form], int] = {}
        self._home: dict[int, Form] = {}
        self._expanded: dict[int, int] = {}
        #: Packed signs of values, by identity and form: for Larq Compute Engine.
        self.packed: dict[tuple[int, Form], int] = {}
        self._deferred: dict[int, Callable[[], None]] = {}
        self._branches: list[Branch] = []  # those that are being written, the innermost last, and what stands around each
        self._outer: list[tuple[Sheet, dict[tuple[int, Form], int], dict[int, int]]] = []

    def shape(self, value: Value) -> tuple[int, ...]:
        """The shape at the file's batch, in the source's order."""
        return value.type.at(self.batch)

    def site(self, node: Node) -> Site:
        """The place where a node is written."""
        return Site(self, node, self._assignment.mode(node))

    # ------------------------------------------------------------------ values

    def input(self, value: Value, form: Form) -> int:
        """Declare a graph input; its tensor."""
        kind = tensor_type(value.type.dtype, value.quant)
        index = self.sheet.activation(form.physical, kind, quantization(value.quant), value.name)
        self.bind(value, form, index)
        return index

    def bind(self, value: Value, form: Form, index: int) -> None:
        """Make a tensor the home of a value."""
        self._tensors[id(value), form] = index
        self._home[id(value)] = form

    def defer(self, value: Value, form: Form, make: Callable[[], None]) -> None:
        """Let ``make`` write and bind a value's home when a tensor of it is first asked for."""
        self._home[id(value)] = form
        self._deferred[id(value)] = make

    def home(self, value: Value) -> Form:
        """The form in which a value was written; the source's order for a constant."""
        return self._home.get(id(value)) or source(self.shape(value))

    def tensor(self, value: Value, form: Form) -> int:
        """The tensor of a value in a form; brought there from its home on first demand."""
        if id(value) in self._deferred:
            self._deferred.pop(id(value))()
        key = (id(value), form)
        if key not in self._tensors:
            if value.is_constant:
                whole = arrange(values_of(value), form).reshape(form.physical)
                self._tensors[key] = self.array(whole, value.quant)
            else:
                home = self.home(value)
                if self._branches and (id(value), home) not in self._tensors:
                    self._take(value, form if key in self._outer[-1][1] else home)
                if key not in self._tensors:
                    self._tensors[key] = self.move(self._tensors[id(value), home], value, home, form)
        return self._tensors[key]

    def _take(self, value: Value, form: Form) -> None:
        """Bring a value that is computed outside the branch that is being written into it."""
        with self._outside() as branch:
            outer = self.sheet.tensors[self.tensor(value, form)]
        branch.take(value, form, outer)

    @contextmanager
    def within(self, branch: Branch) -> Iterator[None]:
        """What the block writes goes into a branch."""
        before = self.sheet, self._tensors, self._expanded
        self._branches.append(branch)
        self._outer.append(before)
        self.sheet, self._tensors, self._expanded = branch.sheet, branch.tensors, branch.expanded
        try:
            yield
        finally:
            self._branches.pop()
            self.sheet, self._tensors, self._expanded = self._outer.pop()

    @contextmanager
    def _outside(self) -> Iterator[Branch]:
        """What the block writes goes where the branch that is being written stands."""
        branch, before = self._branches.pop(), self._outer.pop()
        self.sheet, self._tensors, self._expanded = before
        try:
            yield branch
        finally:
            self._branches.append(branch)
            self._outer.append(before)
            self.sheet, self._tensors, self._expanded = branch.sheet, branch.tensors, branch.expanded

    def move(self, index: int, value: Value, before: Form, after: Form) -> int:
        """A tensor rearranged, with the type and quantisation of ``value``.

        Raises:
            Unsupported: it takes a transpose of more dimensions than any kernel has.
        """
        for step in steps(before, after):
            moved = self.like(value, step.shape)
            if isinstance(step, Transpose):
                if len(step.dims) > 6:
                    raise Unsupported(
                        f"a permutation of {len(step.dims)} dimensions at once", hint="permute in two steps: TFLite takes six"
                    )
                self.sheet.operator(
                    BuiltinOperator.TRANSPOSE, [index, self.sheet.ints(step.dims)], [moved], Options("TransposeOptions")
                )
            else:
                self.reshape(index, moved)
            index = moved
        return index

    def reshape(self, index: int, into: int) -> None:
        """RESHAPE to the shape of a tensor; also a plain copy."""
        shape = self.sheet.tensors[into].shape
        # The shape stands in the second input alone: older runtimes and TFLite Micro read either.
        self.sheet.operator(BuiltinOperator.RESHAPE, [index, self.sheet.ints(shape)], [into], Options("ReshapeOptions"))

    def like(self, value: Value, shape: Sequence[int]) -> int:
        """A new tensor with the type and quantisation of a value."""
        name = value.name if self._all_names else ""
        return self.sheet.activation(shape, tensor_type(value.type.dtype, value.quant), quantization(value.quant), name)

    # ------------------------------------------------------------------ constants

    def constant(self, value: Value, form: Form | None = None) -> int:
        """A constant in the source's order, or arranged to broadcast in a form."""
        array = values_of(value)
        if form is not None:
            array = arrange(array, form)
        return self.array(array, value.quant)

    def array(self, array: NDArray[np.generic], quant: QuantParams | None = None, axis: int | None = None) -> int:
        """Values of the file's own type as a constant; ``axis`` is where the channels of ``quant`` stand.

        Float values are stored in 16 bits and expanded where that is asked for.
        """
        stored = quantization(quant, axis)
        if self._float16 and array.size >= SMALLEST_FLOAT16 and fits_float16(array):
            return self._expand(self.sheet.constant(array.astype(np.float16)), array.shape)
        return self.sheet.constant(array, stored, type=None if quant is None else tensor_type(torch.int8, quant))

    def dequantized(self, index: int) -> int:
        """A quantised constant expanded to float, for a kernel that takes no integers beside float activations."""
        return self._expand(index, self.sheet.tensors[index].shape)

    def _expand(self, index: int, shape: Sequence[int]) -> int:
        """DEQUANTIZE of a constant, once for all that read it."""
        if index not in self._expanded:
            self._expanded[index] = self.sheet.activation(shape, TensorType.FLOAT32)
            self.sheet.operator(BuiltinOperator.DEQUANTIZE, [index], [self._expanded[index]], Options("DequantizeOptions"))
        return self._expanded[index]


class Site:
    """Where one node is written: its inputs and outputs as tensors, in the forms chosen for it."""

    def __init__(self, emission: Emission, node: Node, mode: Mode) -> None:
        self.to = emission
        self.node = node
        self.mode = mode
        self.sheet = emission.sheet

    # ------------------------------------------------------------------ reading

    @property
    def form(self) -> Form:
        """The form of the first output."""
        return self.mode.outputs[0]

    def input_form(self, index: int) -> Form:
        """The form that an input is read in; the source's order for a constant."""
        return self.mode.inputs[index] or source(self.shape(index))

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of an input in the source's order."""
        return self.to.shape(self.node.input(index))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the first output in the source's order."""
        return self.to.shape(self.node.output)

    @property
    def is_integer(self) -> bool:
        """Whether the node computes with integers."""
        return self.node.output.quant is not None

    def read(self, index: int = 0) -> int:
        """The tensor of an input, in the form chosen."""
        return self.to.tensor(self.node.input(index), self.input_form(index))

    def operand(self, index: int) -> int:
        """The tensor of an input of an elementwise op, arranged like the result if it is a constant."""
        value = self.node.input(index)
        if not value.is_constant:
            return self.read(index)
        tensor = self.to.constant(value, self.form)
        return self.to.dequantized(tensor) if value.quant is not None and not self.is_integer else tensor

    # ------------------------------------------------------------------ writing

    def give(self, place: int = 0) -> int:
        """A new tensor that is the home of an output."""
        value, form = self.node.outputs[place], self.mode.outputs[place]
        index = self.to.like(value, form.physical)
        self.to.bind(value, form, index)
        return index

    def alias(self, index: int, place: int = 0) -> None:
        """Make an existing tensor the home of an output."""
        self.to.bind(self.node.outputs[place], self.mode.outputs[place], index)

    def new(self, shape: Sequence[int], type: TensorType = TensorType.FLOAT32, quant: Quantization | None = None) -> int:
        """A tensor between two operators of this node."""
        return self.sheet.activation(shape, type, quant)

    def new_like(self, index: int, shape: Sequence[int]) -> int:
        """A tensor of another shape with the type and quantisation of an existing one."""
        model = self.sheet.tensors[index]
        return self.sheet.activation(shape, model.type, model.quantization)

    def write(
        self, code: BuiltinOperator, inputs: Sequence[int], outputs: Sequence[int] | None = None, options: Options | None = None
    ) -> None:
        """An operator; without ``outputs`` it gives the first output of the node."""
        self.sheet.operator(code, inputs, [self.give()] if outputs is None else outputs, options)
