"""What emitters write through: the graph's values as tensors of the file, in real numbers or as integers.

A quantised value is written once as ``QuantizeLinear`` behind what computes it and once as ``DequantizeLinear`` before what
reads it (the QDQ form). Runtimes replace DequantizeLinear / operator / QuantizeLinear by an operator on integers where they
have one, and compute the same function in float where they have none. The tensor that readers see has the value's own name.

Nothing else stands between the two of a pair: ONNX Runtime on x86 makes the integers of such pairs unsigned, and computes in
float what then meets signed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from edgekit.export.half import SMALLEST_FLOAT16, fits_float16
from edgekit.export.onnx.element_types import integer_kind, onnx_type, quantized_type
from edgekit.export.onnx.writer import Branch, Tensor, Writer
from edgekit.ir.graph import Graph, Node, Value, named_state
from edgekit.ir.ops import Reshape
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import dequantize, quantize_bias, quantize_weights


class Emission(Writer):
    """A graph on its way into a file of one opset."""

    def __init__(self, graph: Graph, opset: int, *, unsigned: bool = False, float16: bool = False) -> None:
        super().__init__()
        self.graph = graph
        self.opset = opset
        self.unsigned = unsigned
        self.float16 = float16
        self._labels = named_state(graph)
        self._reals: dict[int, Tensor] = {}
        self._integers: dict[int, Tensor] = {}
        self._derived: dict[tuple[int, str], Tensor] = {}
        self._input_ids = {id(value) for value in graph.inputs}
        self.inputs: list[Tensor] = []
        #: Writes nodes here and now; False where one of them, or what it reads, was refused. The converter's.
        self.write_nodes: Callable[[Sequence[Node]], bool] = lambda nodes: not nodes
        #: Real numbers and integers that stand around the branch that is being written, the nearest last.
        self._around: list[tuple[dict[int, Tensor], dict[int, Tensor]]] = []

    @contextmanager
    def within(self, branch: Branch) -> Iterator[None]:
        """What the block writes goes into a branch, which reads what is computed outside and has constants of its own."""
        before = self._reals, self._integers, self._derived
        self._around.append((self._reals, self._integers))
        self._reals, self._integers, self._derived = {}, {}, {}
        try:
            with super().within(branch):
                yield
        finally:
            self._around.pop()
            self._reals, self._integers, self._derived = before

    def declare(self, value: Value) -> None:
        """Makes a value the next input of the file: float there also where the graph quantises it."""
        tensor = Tensor(name=value.name)
        self.inputs.append(tensor)
        onnx_type(value.type.dtype)
        if value.quant is None:
            self._reals[id(value)] = tensor
        else:
            self._integers[id(value)] = self.quantize(tensor, value.quant, value.name)

    def label(self, value: Value) -> str:
        """The name of a value in the source: a constant's in its state_dict, otherwise the value's own."""
        return self._labels.get(id(value), value.name)

    # ------------------------------------------------------------------ reading

    def read(self, value: Value, dtype: torch.dtype | None = None) -> Tensor:
        """The real numbers of a value, as another element type if one is given."""
        if dtype is not None and dtype != value.type.dtype:
            if value.is_constant and value.quant is None:
                return self.derive(value, str(dtype).removeprefix("torch."), lambda data: data.to(dtype))
            return self.cast(self.read(value), dtype)
        if id(value) not in self._reals:
            self._reals[id(value)] = self._first_read(value)
        return self._reals[id(value)]

    def read_all(self, node: Node) -> list[Tensor | None]:
        """The real numbers of a node's inputs, None where one is absent."""
        return [None if value is None else self.read(value) for value in node.inputs]

    def read_integers(self, value: Value) -> Tensor:
        """The integers of a quantised value."""
        outside = [] if value.is_constant else [integers for _, integers in self._around if id(value) in integers]
        if id(value) not in self._integers and outside:
            return outside[-1][id(value)]
        if id(value) not in self._integers:
            assert value.is_constant
            assert value.quant is not None
            kind = integer_kind(value.quant.dtype)
            self._integers[id(value)] = self.initializer(self.constant_integers(value), self.label(value), kind)
        return self._integers[id(value)]

    def constant_integers(self, value: Value) -> torch.Tensor:
        """The data of a quantised constant as integers."""
        assert value.quant is not None
        quant = self._stored(value.quant)
        quantized_type(quant.dtype)
        if quant.dtype == "int32":
            return quantize_bias(value.tensor, quant.scale)
        return quantize_weights(value.tensor, quant)

    def constant(self, data: torch.Tensor, wish: str) -> Tensor:
        """A constant of its own; a large one of float32 in 16 bits where that is asked for and loses next to nothing."""
        if self.float16 and data.numel() >= SMALLEST_FLOAT16 and fits_float16(data.detach().cpu().numpy()):
            return self.cast(self.initializer(data.detach().to(torch.float16), wish), torch.float32)
        return self.initializer(data, wish)

    def derive(self, value: Value, how: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Tensor:
        """A constant ``name/how`` computed from one that is not quantised; the same one is written once."""
        key = (id(value), how)
        if key not in self._derived:
            self._derived[key] = self.constant(change(value.tensor.detach()).contiguous(), f"{self.label(value)}/{how}")
        return self._derived[key]

    def transposed(self, value: Value, dims: Sequence[int]) -> Tensor:
        """The real numbers of a value with its dimensions in another order; a constant is stored so."""
        if value.quant is None:
            if value.is_constant:
                return self.derive(value, "transposed", lambda data: data.permute(*dims))
            return self.add("Transpose", self.read(value), perm=list(dims))
        quant = value.quant
        axis = None if quant.axis is None else list(dims).index(quant.axis)
        moved = QuantParams(quant.dtype, quant.scale, quant.zero_point, axis, quant.narrow)
        if value.is_constant:
            data = self.constant_integers(value).permute(*dims).contiguous()
            integers = self.initializer(data, f"{self.label(value)}/transposed", integer_kind(quant.dtype))
            return self.dequantize(integers, moved, self.label(value))
        return self.rounded(self.add("Transpose", self.read(value), perm=list(dims)), moved, value.name)

    def reshaped(self, value: Value, shape: Sequence[int]) -> Tensor:
        """The real numbers of a value of fixed shape under another shape."""
        if value.is_constant and value.quant is None:
            how = "x".join(str(size) for size in shape)
            return self.derive(value, how, lambda data: data.reshape(*shape))
        return self.add("Reshape", self.read(value), self.ints(shape))

    # ------------------------------------------------------------------ writing

    def cast(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """The elements as another type."""
        return self.add("Cast", tensor, to=onnx_type(dtype))

    def quantize(self, real: Tensor, quant: QuantParams, label: str) -> Tensor:
        """The integers of per-tensor quantised real numbers. ``label`` names what the parameters belong to."""
        if quant.narrow:  # QuantizeLinear saturates at the type's own ends only
            low, high = quant.range
            real = self.add("Clip", real, self.scalar(low), self.scalar(high))
            quant = replace(quant, narrow=False)
        integers = self.add("QuantizeLinear", real, *self._parameters(quant, label))
        integers.wish = f"{label}/quantized"
        return integers

    def dequantize(self, integers: Tensor, quant: QuantParams, label: str) -> Tensor:
        """The real numbers that integers stand for."""
        axis = {} if quant.axis is None else {"axis": quant.axis}
        real = self.add("DequantizeLinear", integers, *self._parameters(quant, label), **axis)
        real.wish = f"{label}/dequantized"
        return real

    def rounded(self, real: Tensor, quant: QuantParams, label: str) -> Tensor:
        """Real numbers rounded to what integers can hold: the pair that lets a runtime keep them as integers."""
        return self.dequantize(self.quantize(real, quant, label), replace(quant, narrow=False), label)

    def bind(self, value: Value, result: Tensor) -> None:
        """Makes an emitter's result the tensor of a value."""
        onnx_type(value.type.dtype)
        if value.quant is not None:
            result.wish = f"{value.name}/real"
            self._integers[id(value)] = self.quantize(result, value.quant, value.name)
        else:
            result.name = result.name or value.name
            self._reals[id(value)] = result

    def bind_integers(self, value: Value, integers: Tensor) -> None:
        """Makes a tensor of integers that of a quantised value."""
        integers.wish = f"{value.name}/quantized"
        self._integers[id(value)] = integers

    def integers_of(self, value: Value) -> int | None:
        """ONNX's number of the integers that a value is held in; None for real numbers."""
        return None if value.quant is None else onnx_type(quantized_type(self._stored(value.quant).dtype))

    def output(self, value: Value, taken: set[str]) -> Tensor:
        """The tensor of a graph output, by a name of its own: the value's, unless that belongs to something else."""
        tensor = self.read(value)
        if (
            tensor.name == value.name
            and id(value) not in self._input_ids
            and tensor.name not in taken
            and not value.is_constant
        ):
            return tensor
        self.scope = value.name
        copy = self.add("Identity", tensor)
        free = value.name not in taken and id(value) not in self._input_ids and not value.is_constant
        copy.name, copy.wish = (value.name, "") if free else ("", f"{value.name}/output")
        return copy

    def unclear(self) -> list[tuple[Tensor, Value]]:
        """Values inside the graph whose batch dimension readers of the file can't infer: a reshape moved or multiplied it."""
        found = []
        for node in self.graph.nodes:
            value = node.output
            if isinstance(node.op, Reshape) and id(value) in self._reals and not self.graph.is_output(value):
                old = node.input(0).shape
                kept = all(isinstance(d, int) or old[axis : axis + 1] == (d,) for axis, d in enumerate(value.shape))
                if not kept:
                    found.append((self._reals[id(value)], value))
        return found

    # ------------------------------------------------------------------ within

    def _first_read(self, value: Value) -> Tensor:
        if value.quant is not None and value.quant.dtype == "int64":
            # Beside 16-bit activations, which are computed in float: DequantizeLinear takes no 64 bits.
            real = dequantize(quantize_bias(value.tensor, value.quant.scale, "int64"), value.quant)
            return self.initializer(real, self.label(value))
        if value.quant is not None:
            # Only constants are stored as narrow integers; others have been clipped to them.
            quant = value.quant if value.is_constant else replace(value.quant, narrow=False)
            tensor = self.dequantize(self.read_integers(value), quant, self.label(value))
            if value.producer is not None:
                if id(value) in self._integers:
                    tensor.name = value.name
                else:  # computed outside this branch, where that name may be taken
                    tensor.wish = value.name
            return tensor
        outside = [] if value.is_constant else [reals for reals, _ in self._around if id(value) in reals]
        if outside:
            return outside[-1][id(value)]
        if not value.is_constant:
            raise KeyError(f"%{value.name} is read before it is written")
        onnx_type(value.type.dtype)
        return self.constant(value.tensor, self.label(value))

    def _parameters(self, quant: QuantParams, label: str) -> tuple[Tensor, Tensor]:
        """Scale and zero point; the zero point's element type says what the integers are."""
        quant = self._stored(quant)
        dtype = quantized_type(quant.dtype)
        scale, zero = torch.tensor(quant.scale, dtype=torch.float32), torch.tensor(quant.zero_point, dtype=dtype)
        if quant.axis is None:
            scale, zero = scale.reshape(()), zero.reshape(())
        kind = integer_kind(quant.dtype)
        return self.shared(scale, f"{label}/scale"), self.shared(zero, f"{label}/zero_point", kind)

    def _stored(self, quant: QuantParams) -> QuantParams:
        """The parameters in the file: with ``unsigned``, 128 added to int8 integers and their zero point, but not to weights.

        Weights are symmetric: narrow, or with a scale for each channel.
        """
        if not self.unsigned or quant.dtype != "int8" or quant.narrow or quant.per_channel:
            return quant
        return QuantParams("uint8", quant.scale, (quant.zero_point[0] + 128,))
