"""From a file's main subgraph to a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.formats.tflite.model import Model, Operator, Signature, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.batch_math import BatchInNumber
from edgekit.frontend.call_signature import call_signature
from edgekit.frontend.tflite import variables
from edgekit.frontend.tflite.borders import mend
from edgekit.frontend.tflite.constants import constant_of, element_type, quantization_of
from edgekit.frontend.tflite.context import Building, Lowering
from edgekit.frontend.tflite.held import Held, Sizes, plain
from edgekit.frontend.tflite.names import end_name
from edgekit.frontend.tflite.sizes import FOLDS, fold
from edgekit.frontend.tflite.subgraphs import PartsMissing
from edgekit.frontend.tflite.table import Entry, lowerings
from edgekit.frontend.torch.problems import Problems
from edgekit.ir import Graph, TensorType, Value
from edgekit.ir.types import Batch, Dim

#: Operators with weights, whose layer is named in them.
_WEIGHTED = {Op.CONV_2D, Op.DEPTHWISE_CONV_2D, Op.TRANSPOSE_CONV, Op.FULLY_CONNECTED, Op.UNIDIRECTIONAL_SEQUENCE_LSTM}

#: What a damaged file can make of a lowering; a torch function refuses it in its own words.
_MISFITS = (ArithmeticError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError)


#: Options that say how a kernel computes, not what.
_HINTS = {"asymmetric_quantize_inputs", "pot_scale_int16", "quantized_bias_type"}

#: Bytes of the largest tensor without data that is taken as zeros.
_LARGEST_STATE = 1 << 22


class Translator:
    """Builds the graph of one file.

    Args:
        model: the file.
        path: where it lies; names errors and the graph.
        batched: let the first axis of the inputs be the batch, whatever size it has in the file.
        shapes: of inputs whose dimensions the file leaves open, by name.
        fixed: names of inputs without batch.
        samples: the number of samples that the file was made for.
    """

    def __init__(
        self,
        model: Model,
        path: Path,
        *,
        batched: bool,
        shapes: Mapping[str, tuple[int, ...]],
        fixed: frozenset[str] = frozenset(),
        samples: int = 1,
    ) -> None:
        self.model = model
        self.graph = Graph(path.stem)
        self.building = Building(self.graph, model, path.name, batch=samples if batched else 1)
        self.problems = Problems(path.name)
        self._batched = batched
        self._shapes = shapes
        self._fixed = fixed
        self._missing: set[int] = set()
        self._constants: dict[tuple[int, int], Held] = {}
        self.building.run = self._run
        self._given_shapes = bool(shapes)

    def run(self) -> Graph:
        """The graph.

        Raises:
            Unsupported: with all operators that have no form in the graph.
            InputError: the file contradicts itself.
        """
        self._inputs()
        self.building.states.update(variables.initial(self.building, batched=self._batched))
        for index, operator in enumerate(self.model.main.operators):
            self._translate(index, operator)
        self._outputs()
        self.problems.raise_if_any()
        self.graph.outputs += variables.final(self.building)
        mend(self.graph)
        self.graph.eliminate_dead()
        self._drop_unread_state()
        self.graph.signature = call_signature(self.graph)
        return self.graph

    def _drop_unread_state(self) -> None:
        """Parameters of operators that became part of another one, as the products before a recurrent layer's loop do."""
        graph = self.graph
        graph.state = {name: value for name, value in graph.state.items() if value.users or graph.is_output(value)}

    # ------------------------------------------------------------------ inputs and outputs

    def input_names(self) -> dict[int, str]:
        """Tensor index -> name of each input."""
        return self._names("inputs")

    def _inputs(self) -> None:
        for index, name in self._names("inputs").items():
            tensor = self.model.main.tensors[index]
            shape: tuple[Dim, ...] = self._shapes.get(name, tensor.shape)
            if self._batched and shape and name not in self._fixed:
                shape = (Batch(1), *shape[1:])
            value = self.graph.add_input(name, TensorType(element_type(tensor), shape))
            value.quant = quantization_of(tensor)
            self.building.held[index] = plain(value)

    def _outputs(self) -> None:
        for index, name in self._names("outputs").items():
            if index in self._missing:
                continue
            found = self._read(index)
            place = f"output '{name}'"
            if not isinstance(found, Held):
                self.problems.add("output", place, "an output is a size, not a tensor", "return tensors only")
                continue
            end = Lowering(
                self.building, Operator(Op.RESHAPE, (index,), (index,)), len(self.model.main.operators), weighted=False
            )
            value = end.plain(found)
            self.graph.outputs.append(value)
            if value.producer is not None and not any(value is v for v in self.graph.outputs[:-1]):
                self.graph._names.discard(value.name)
                value.name = self.graph.unique_name(name)

    def _names(self, side: str) -> dict[int, str]:
        """Tensor index -> name, in the subgraph's order: the signature's names where there is one."""
        indices: tuple[int, ...] = getattr(self.model.main, side)
        signature = next((s for s in self.model.signatures if s.subgraph == 0), Signature("", {}, {}))
        named = {index: name for name, index in getattr(signature, side).items()}
        out: dict[int, str] = {}
        for place, index in enumerate(indices):
            name = named.get(index) or end_name(self.model.main.tensors[index].name) or f"{side[:-1]}_{place}"
            while name in out.values():
                name = f"{name}_{place}"
            out[index] = name
        return out

    # ------------------------------------------------------------------ operators

    def _run(self, index: int, inputs: Sequence[Held | Sizes]) -> tuple[Held | Sizes, ...] | None:
        """What a subgraph gives for these inputs, translated where another one runs it; None where an operator has no form."""
        building, subgraph = self.building, self.model.subgraphs[index]
        outer = building.subgraph, building.held, self._missing
        building.subgraph, building.held, self._missing = subgraph, dict(zip(subgraph.inputs, inputs, strict=True)), set()
        building.calls.append(index)
        try:
            for place, operator in enumerate(subgraph.operators):
                self._translate(place, operator)
            return None if self._missing else tuple(self._read(tensor) for tensor in subgraph.outputs)
        finally:
            building.calls.pop()
            building.subgraph, building.held, self._missing = outer

    def _translate(self, index: int, operator: Operator) -> None:
        ctx = Lowering(self.building, operator, index, weighted=operator.code in _WEIGHTED)
        try:
            for output in operator.outputs:
                tensor = self.building.subgraph.tensors[output]
                there = output in self.building.held or output in self._missing or tensor.data is not None
                if there and not tensor.is_variable:
                    raise ctx.damaged(f"it gives the tensor {output}, which is there already")
            inputs = [None if i < 0 else self._read(i) for i in operator.inputs if i not in self._missing]
            entry = lowerings().get(operator.code)
            if len(inputs) < len(operator.inputs) and entry is not None:
                self._missing.update(operator.outputs)
                return
            results = self._lower(ctx, entry, inputs)
            self._keep(ctx, results)
        except Unsupported as error:
            self._problem(ctx, error)
        except PartsMissing:
            self._missing.update(operator.outputs)
        except EdgekitError:
            raise
        except BatchInNumber:
            self._problem(
                ctx, ctx.refused("the batch size enters a computation as a number", "convert with a fixed batch of 1")
            )
        except _MISFITS as error:
            raise ctx.damaged(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error

    def _problem(self, ctx: Lowering, error: Unsupported) -> None:
        self.problems.add(ctx.operator.name, error.where or ctx.where, error.what, error.hint)
        self._missing.update(ctx.operator.outputs)

    def _lower(self, ctx: Lowering, entry: Entry | None, inputs: list[Held | Sizes | None]) -> Any:
        operator = ctx.operator
        if entry is None:
            what = f"custom operator '{operator.name}'" if operator.code == Op.CUSTOM else f"'{operator.name}'"
            raise ctx.refused(
                f"edgekit has no lowering for {what}",
                "cut the model before it, or write the layer with supported operators (`edgekit ops`)",
            )
        options = dict(operator.options.fields) if operator.options else {}
        if operator.code in FOLDS and any(isinstance(x, Sizes) for x in inputs):
            folded = fold(ctx, inputs, options)
            if folded is not None:
                return folded
        unheeded = sorted(set(options) - entry.options - _HINTS)
        if unheeded and not entry.refuses:
            settings = ", ".join(f"{name}={options[name]}" for name in unheeded)
            raise ctx.refused(f"'{operator.name}' with {settings}", "convert the model without it")
        if entry.inputs is not None and len(inputs) > entry.inputs:
            if any(x is not None for x in inputs[entry.inputs :]):
                raise ctx.refused(f"'{operator.name}' with {len(inputs)} inputs: {entry.inputs} are known")
            inputs = inputs[: entry.inputs]
        if len(inputs) < entry.required:
            raise ctx.damaged(f"{len(inputs)} inputs, it needs {entry.required}")
        inputs = [
            ctx.tensor(x, "input") if isinstance(x, Sizes) and not entry.takes_sizes(i) else x for i, x in enumerate(inputs)
        ]
        return entry.function(ctx, *inputs, **{name: value for name, value in options.items() if name in entry.options})

    def _read(self, index: int) -> Held | Sizes:
        """What stands for a tensor; a constant is read when it is first asked for.

        Raises:
            InputError: it is neither computed above nor constant.
        """
        if index not in self.building.held:
            tensor = self.building.subgraph.tensors[index]
            if tensor.data is None and not tensor.is_variable and 0 not in tensor.shape:
                raise InputError(
                    f"the tensor {index} ('{tensor.name}') is read before any operator gives it",
                    where=self.building.file,
                    hint="the file is damaged: convert or download it again",
                )
            place = (self.building.calls[-1] if self.building.calls else 0, index)
            if place not in self._constants:
                self._constants[place] = self._constant(tensor)
            self.building.held[index] = self._constants[place]
        return self.building.held[index]

    def _constant(self, tensor: Tensor) -> Held:
        if tensor.data is None and tensor.nbytes > _LARGEST_STATE:
            raise InputError(
                f"the tensor '{tensor.name}' of the file has no data and {tensor.nbytes:,} bytes",
                where=self.building.file,
                hint="the file is damaged: convert or download it again",
            )
        filled = tensor if tensor.data is not None else replace(tensor, data=bytes(tensor.nbytes))
        data, quant = constant_of(filled)
        samples = self.building.batch
        if samples > 1 and data.dim() > 1 and len(data) == samples and bool((data == data[:1]).all()):
            data = data[:1].clone()  # the same for every sample
        value = self.graph.constant(data, end_name(tensor.name.partition(";")[0]) or "constant")
        value.quant = quant
        return plain(value)

    def _keep(self, ctx: Lowering, results: Any) -> None:
        """Names the results, gives them their quantisation and compares their shapes with the file's."""
        results = results if isinstance(results, tuple) else (results,)
        if len(results) != len(ctx.operator.outputs):
            raise ctx.damaged(f"{len(ctx.operator.outputs)} outputs, it has {len(results)}")
        first = next((found.value for found in results if isinstance(found, Held)), None)
        if first is not None:
            ctx.name(first)
        for index, found in zip(ctx.operator.outputs, results, strict=True):
            self.building.held[index] = found
            if isinstance(found, Held):
                if type(found) is Held:  # not one that the file holds in parts
                    self._check(ctx, ctx.tensors[index], found)
                self._adopt(ctx.tensors[index], found.value)

    def _check(self, ctx: Lowering, tensor: Tensor, found: Held) -> None:
        given = tuple(ctx.in_file(size) for size in found.shape)
        open_ends = [size < 0 for size in tensor.shape_signature] if len(tensor.shape_signature) == len(given) else []
        fits = len(given) == len(tensor.shape) and all(
            a == b or (place < len(open_ends) and open_ends[place])
            for place, (a, b) in enumerate(zip(given, tensor.shape, strict=True))
        )
        if not fits and not self._given_shapes and not self._is_open_slice(ctx):
            raise ctx.damaged(f"its result is {list(given)}, the file says {list(tensor.shape)}")
        wanted = element_type(tensor)
        if found.value.type.dtype != wanted:
            raise ctx.damaged(f"its result is {found.value.type}, the file says {tensor.type.name}")

    def _is_open_slice(self, ctx: Lowering) -> bool:
        """Its bounds are computed in a loop: the file knows no shape of its result."""
        is_slice = ctx.operator.code == Op.SLICE and bool(self.building.calls)
        return is_slice and any(ctx.tensors[index].data is None for index in ctx.operator.inputs[1:])

    def _adopt(self, tensor: Tensor, value: Value) -> None:
        quant = quantization_of(tensor)
        if value.is_constant or value.producer is None:
            return
        if quant is not None:
            value.quant = quant
