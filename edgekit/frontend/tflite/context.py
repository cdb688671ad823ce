"""What a lowering works with: the graph it adds to, its operator, and tensors in whatever order it needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import torch
from torch import nn

from edgekit.errors import InputError
from edgekit.formats.tflite.model import Model, Operator, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import ActivationFunctionType
from edgekit.frontend.around_zero import choose_anew, match_bias
from edgekit.frontend.lowering import GraphLowering
from edgekit.frontend.tflite.held import Held, Sizes, channels_first, plain
from edgekit.frontend.tflite.names import layer_name
from edgekit.ir import Graph, Node, Value, Where, ops
from edgekit.ir.ops import Op
from edgekit.ir.quant import QuantParams
from edgekit.ir.types import Batch, Dim, TensorType

#: Elements of all constants that are computed while a file is read, and of the largest value of a graph.
LARGEST_FOLDED = 1 << 24
LARGEST_VALUE = 1 << 31

#: Ops that give the elements of their first input as they are: the result has its quantisation.
_MOVES = (ops.Reshape, ops.Permute, ops.Slice, ops.Expand, ops.Tile, ops.Flip, ops.Split, ops.PixelShuffle, ops.PixelUnshuffle)

_FUSED: dict[int, str] = {
    ActivationFunctionType.NONE: "none",
    ActivationFunctionType.RELU: "relu",
    ActivationFunctionType.RELU_N1_TO_1: "relu_n1_to_1",
    ActivationFunctionType.RELU6: "relu6",
}

_ACTIVATIONS: dict[int, Op] = {
    ActivationFunctionType.RELU: ops.Relu(),
    ActivationFunctionType.RELU_N1_TO_1: ops.Clamp(-1.0, 1.0),
    ActivationFunctionType.RELU6: ops.Relu6(),
    ActivationFunctionType.TANH: ops.Tanh(),
}


@dataclass
class Building:
    """What the lowerings of one file share.

    Attributes:
        graph: what is being built.
        model: the file.
        file: its name, for places.
        batch: the number of samples that the file was made for.
        held: what stands for each tensor of the main subgraph.
        moved: values in another order, by value and dims.
        parameters: constants that became trainable, by constant and dims.
        subgraph: what is being translated: the main subgraph, or one that it runs.
        calls: the subgraphs that are being run, by index, the outermost first.
        written: operators of subgraphs that were translated so far, each as often as it is run.
        run: translates a subgraph of the file with these inputs; None where operators in it have no form, which is on record.
        folded: elements of the constants that were computed so far.
        states: variables that live from call to call, by name: what they hold now.
    """

    graph: Graph
    model: Model
    file: str
    held: dict[int, Held | Sizes] = field(default_factory=dict)
    moved: dict[tuple[Value, tuple[int, ...]], Value] = field(default_factory=dict)
    parameters: dict[tuple[Value, tuple[int, ...]], Value] = field(default_factory=dict)
    states: dict[str, Held] = field(default_factory=dict)
    folded: int = 0
    batch: int = 1
    calls: list[int] = field(default_factory=list)
    written: int = 0
    run: Callable[[int, Sequence[Held | Sizes]], tuple[Held | Sizes, ...] | None] = lambda index, inputs: None

    def __post_init__(self) -> None:
        self.subgraph = self.model.main


class Lowering(GraphLowering):
    """The context of one operator of the file.

    Attributes:
        operator: the operator.
        index: its place in the main subgraph.
        layer: the user's name of it.
    """

    def __init__(self, building: Building, operator: Operator, index: int, *, weighted: bool) -> None:
        self.building, self._subgraph = building, building.subgraph
        self.graph, self.device = building.graph, torch.device("cpu")
        self.operator, self.index = operator, index
        outputs = [self.tensors[i].name for i in operator.outputs[:1]]
        weights = [self.tensors[i].name for i in operator.inputs[1:2] if i >= 0] if weighted else []
        self.layer = layer_name([*weights, *outputs], weighted=weighted)
        self.path = self.layer
        self._named = False
        self.where = Where(self.layer, building.file, index, operator.name)

    @property
    def subgraph(self) -> Subgraph:
        """The subgraph that the operator stands in."""
        return self._subgraph

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of the file."""
        return self.subgraph.tensors

    @property
    def op_name(self) -> str:
        """The operator's name in the schema."""
        return self.operator.name

    @property
    def is_integer(self) -> bool:
        """The first result is quantised."""
        return self.tensors[self.operator.outputs[0]].quantization is not None

    def is_known(self, x: Value) -> bool:
        """A constant that has not become a parameter."""
        return x.is_constant and not x.is_trainable

    def in_file(self, size: Dim) -> int:
        """A dimension as the file has it."""
        return size.multiple * self.building.batch if isinstance(size, Batch) else size

    # ------------------------------------------------------------------ adding

    def add_node(self, op: Op, *inputs: Value | None) -> Node:
        """Appends a node; what only moves elements keeps their quantisation.

        Raises:
            Unsupported: a result would be larger than any runtime's.
        """
        node = super().add_node(op, *inputs)
        for output in node.outputs:
            if output.type.numel(1) > LARGEST_VALUE:
                raise self.refused(f"'{self.op_name}' gives {output.type}, which no runtime holds")
            first = inputs[0]
            if isinstance(op, _MOVES) and first is not None and first.quant is not None and not first.quant.per_channel:
                output.quant = first.quant
        return node

    def add(self, op: Op, *inputs: Value | None) -> Value:
        """Appends a node; of known constants the result is computed at once, if it is not large."""
        constant = bool(inputs) and all(x is not None and self.is_known(x) for x in inputs)
        if not constant:
            return self.add_node(op, *inputs).outputs[0]
        given = [x for x in inputs if x is not None]
        self.count_constant(sum(t.numel() for t in op.infer(*[x.type for x in given])))
        made = super().add(op, *inputs)
        if isinstance(op, _MOVES):
            made.quant = _moved(given[0].quant, op)
        return made

    def filled(self, shape: Sequence[Dim], value: float, dtype: torch.dtype) -> Value:
        """A tensor full of one number, if it is not large."""
        self.count_constant(prod(size for size in shape if isinstance(size, int)))
        return super().filled(shape, value, dtype)

    def count_constant(self, elements: int) -> None:
        """Counts elements of constants that are computed while the file is read.

        Raises:
            Unsupported: there are more than any network needs.
        """
        self.building.folded += elements
        if self.building.folded > LARGEST_FOLDED:
            raise self.refused(
                f"the model computes constants of more than {LARGEST_FOLDED:,} elements while it is read",
                "convert the model again: TensorFlow's converter folds constants",
            )

    def name(self, value: Value) -> None:
        """Gives a value that this operator made the layer's name, once."""
        made = value.producer is not None and self.where in value.producer.where
        if self._named or not made or not self.layer:
            return
        self._named = True
        self.graph._names.discard(value.name)
        value.name = self.graph.unique_name(self.layer)

    def activated(self, x: Held, fused: int) -> Held:
        """A fused activation as an op of its own."""
        if fused == ActivationFunctionType.NONE:
            return x
        if fused not in _ACTIVATIONS:
            raise self.refused(f"'{self.op_name}' with the fused activation {fused}")
        return replace(x, value=self.add(_ACTIVATIONS[fused], x.value))

    def with_activation(self, op: Op, fused: int, *inputs: Value | None) -> Value:
        """An op that takes a fused activation: in float it becomes an op of its own, as recipes expect; integers saturate
        at it, so it stays.
        """
        if self.is_integer and fused in _FUSED:
            return self.add(op.with_(activation=_FUSED[fused]), *inputs)
        product = self.add(op, *inputs)
        self.name(product)
        return self.activated(plain(product), fused).value

    def parameter(self, x: Value, name: str, dims: Sequence[int] | None = None) -> Value:
        """A constant as a parameter of the layer, with its axes in another order; one that two layers read is one parameter.

        A value that the model computes is moved like any other.
        """
        dims = tuple(range(x.type.rank)) if dims is None else tuple(dims)
        if not self.is_known(x) or not x.type.is_float:
            return self.permute(x, dims)
        key = (x, dims)
        if key not in self.building.parameters:
            data = nn.Parameter(x.tensor.permute(dims).contiguous().clone())
            full = self.graph.unique_name(f"{self.path}.{name}" if self.path else name)
            made = self.graph.add_state(full, Value(full, TensorType.of(data), data))
            made.quant = _moved(x.quant, ops.Permute(dims))
            self.building.parameters[key] = made
        return self.building.parameters[key]

    def bias(self, bias: Held | None, x: Value, weight: Value, axis: int) -> Value | None:
        """The bias of a product as a parameter; ``axis`` is where the weight's output channels stand.

        Raises:
            InputError: it has not one number per output channel. Kernels trust that it has.
        """
        if bias is not None and bias.shape != (weight.shape[axis],):
            raise self.damaged(f"a bias {list(bias.shape)} beside a weight {list(weight.shape)}")
        if weight.quant is not None and weight.quant.dtype == "uint8":
            choose_anew(self.graph, weight, axis if weight.type.rank == 4 else None)
        made = None if bias is None else self.parameter(self.plain(bias), "bias")
        match_bias(x, weight, made)
        return made

    # ------------------------------------------------------------------ orders

    def arranged(self, x: Held, order: Sequence[int]) -> Value:
        """The value with dimension i of the tensor in dimension ``order[i]``."""
        dims = [0] * x.rank
        for wanted, present in zip(order, x.order, strict=True):
            dims[wanted] = present
        key = (x.value, tuple(dims))
        if key not in self.building.moved:
            self.building.moved[key] = self.permute(x.value, dims)
        return self.building.moved[key]

    def plain(self, x: Held) -> Value:
        """The value as the file has it."""
        return self.arranged(x, range(x.rank))

    def channels_first(self, x: Held) -> Value:
        """The value of a channels-last tensor with its channels in axis 1."""
        return self.arranged(x, channels_first(x.rank))

    def channels_last(self, value: Value) -> Held:
        """The channels-last tensor whose channels are in axis 1 of a value."""
        return Held(value, channels_first(value.type.rank))

    def aligned(self, *operands: Held) -> tuple[list[Value], tuple[int, ...]]:
        """Operands of an elementwise op in one order, broadcast as numpy does, and that order."""
        rank = max(x.rank for x in operands)
        whole = [x for x in operands if x.rank == rank and not x.is_plain and not self.is_known(x.value)]
        order = whole[0].order if whole else tuple(range(rank))
        return [self._operand(x, order) for x in operands], order

    def _operand(self, x: Held, order: tuple[int, ...]) -> Value:
        missing = len(order) - x.rank
        if order == tuple(range(len(order))):
            return self.plain(x)
        if missing:
            value = self.plain(x)
            if prod(d if isinstance(d, int) else 2 for d in value.shape) == 1:
                return value
            x = plain(self.reshape(value, (*(1,) * missing, *value.shape)))
        value = self.arranged(x, order)
        leading = next((i for i, size in enumerate(value.shape) if size != 1), len(value.shape))
        return self.reshape(value, value.shape[leading:]) if self.is_known(value) else value

    # ------------------------------------------------------------------ reading

    def tensor(self, x: Held | Sizes | None, what: str) -> Held:
        """An input that must be a tensor of the graph; sizes that are known become a constant."""
        if isinstance(x, Held):
            return x
        self.need(x is not None, f"has no {what}")
        assert isinstance(x, Sizes)
        if any(isinstance(size, Batch) for size in x.array.reshape(-1)):
            raise self.refused(
                "the batch size enters a computation as a number", "let no value depend on how many samples there are"
            )
        return plain(self.constant(torch.from_numpy(x.array.astype(np.int64)), "sizes"))

    def dims(self, x: Held | Sizes | None, what: str) -> list[Dim]:
        """Sizes that are known while the file is read, flattened.

        Raises:
            Unsupported: the model computes them.
        """
        if isinstance(x, Sizes):
            return list(x.array.reshape(-1))
        self.need(x is not None, f"has no {what}")
        assert isinstance(x, Held)
        if not self.is_known(x.value) or x.value.type.is_float:
            raise self.refused(
                f"'{self.op_name}' with {what} that the model computes",
                "convert the model with fixed shapes: only the batch may vary",
            )
        return [int(number) for number in self.plain(x).tensor.reshape(-1).tolist()]

    def ints(self, x: Held | Sizes | None, what: str) -> list[int]:
        """Numbers that are known while the file is read and do not depend on the batch."""
        sizes = self.dims(x, what)
        if any(isinstance(size, Batch) for size in sizes):
            raise self.refused(f"'{self.op_name}' with {what} that depends on the batch")
        return [size for size in sizes if isinstance(size, int)]

    def one(self, x: Held | Sizes | None, what: str) -> int:
        """A single number that is known while the file is read."""
        found = self.ints(x, what)
        if len(found) != 1:
            raise self.damaged(f"{what} is {len(found)} numbers")
        return found[0]

    def damaged(self, what: str) -> InputError:
        """The error to raise where the file contradicts itself."""
        return InputError(
            f"operator {self.index} ({self.op_name}) of the file is damaged: {what}",
            where=str(self.where),
            hint="convert or download the file again",
        )


def _moved(quant: QuantParams | None, op: Op) -> QuantParams | None:
    """The parameters of a constant after a movement: of channels only a permutation keeps them."""
    if quant is None or quant.axis is None:
        return quant
    return replace(quant, axis=op.dims.index(quant.axis)) if isinstance(op, ops.Permute) else None
