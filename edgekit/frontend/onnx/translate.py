"""The nodes of a file become those of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.frontend.batch_math import BatchInNumber
from edgekit.frontend.onnx.attributes import read_attributes
from edgekit.frontend.onnx.branches import chosen_branch
from edgekit.frontend.onnx.context import Building, Lowering, Operand
from edgekit.frontend.onnx.element_types import TORCH, type_name
from edgekit.frontend.onnx.functions import Function, function_of
from edgekit.frontend.onnx.loops import unrolled_loop, unrolled_map, unrolled_scan
from edgekit.frontend.onnx.read import in_order, reads
from edgekit.frontend.onnx.rows import Row
from edgekit.frontend.onnx.size_math import on_sizes
from edgekit.frontend.onnx.sizes import Sizes
from edgekit.frontend.onnx.table import Result, call, lowerings
from edgekit.frontend.onnx.tensors import read_tensor
from edgekit.frontend.torch.problems import Problems
from edgekit.ir import Graph, Value

#: What numpy and torch say of settings that fit nothing.
_CONTRADICTIONS = (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError, MemoryError)
#: Operators for which a wider type of constants makes no difference.
_TAKES_ANY = {"DequantizeLinear", "QuantizeLinear"}
_LOOPS = {"Loop": unrolled_loop, "Scan": unrolled_scan, "SequenceMap": unrolled_map}
_DOMAINS = ("", "ai.onnx")
#: Bodies inside of each other: a function may call another one, but not itself.
_DEEPEST = 16
#: Calls of functions in all: bodies that call each other twice would be 2^16 of them.
_MOST_CALLS = 4096


class _Missing:
    """What a name stands for whose node could not be lowered."""


class _NoForm:
    """What a name stands for that is a result without a form in the graph, of a node whose other results have one."""


MISSING, NO_FORM = _Missing(), _NoForm()
#: None: an optional input that a call leaves out.
_Found = Operand | Row | _Missing | _NoForm | None


class Translator:
    """Builds the graph of one model.

    Args:
        model: the ``ModelProto``.
        graph: a graph that holds the inputs.
        opset: version of ai.onnx's operators.
        folder: where external data lies, None without a file.
        where: the file, for errors.
    """

    def __init__(self, model: Any, graph: Graph, opset: int, folder: Path | None, where: str) -> None:
        self.model, self.graph, self.folder, self.where = model, graph, folder, where
        self.building = Building(graph)
        self.problems = Problems(where)
        #: Names of inputs that have no form in the graph.
        self.without: list[str] = []
        self._functions = {(f.domain, f.name): f for f in model.functions}
        self._opsets = {o.domain: int(o.version) for o in model.opset_import}
        self._opset = opset
        self._depth = self._calls = 0

    def run(self) -> None:
        """Adds all nodes and the outputs.

        Raises:
            Unsupported: with all nodes that have no form in the graph.
            InputError: the file contradicts itself.
        """
        proto = self.model.graph
        for tensor in proto.sparse_initializer:
            self.problems.add("", self.where, f"the sparse initialiser '{tensor.values.name}'", "store it as a dense tensor")
        self._note_readers(proto.node, [value.name for value in proto.output])
        names: dict[str, _Found] = {value.name: value for value in self.graph.inputs} | dict.fromkeys(self.without, MISSING)
        self._body(proto, names, self._opset)
        outputs = [self._output(value.name, names) for value in proto.output]
        self.problems.raise_if_any()
        for name, value in zip((value.name for value in proto.output), outputs, strict=True):
            if value is not None and value.producer is not None and not self.graph.is_output(value) and value.name != name:
                value.name = self.graph.unique_name(name)
            self.graph.outputs += [] if value is None else [value]

    def _output(self, name: str, names: Mapping[str, _Found]) -> Value | None:
        found = names.get(name)
        if isinstance(found, Value) and found.type.dtype == torch.bfloat16:
            self.problems.add("", self.where, f"the output '{name}' is of bfloat16", "cast it to float32")
        if isinstance(found, Value):
            return found
        if isinstance(found, Sizes):
            self.problems.add("", self.where, f"the output '{name}' is a size that follows the batch", "return tensors only")
        elif isinstance(found, Row):
            self.problems.add("", self.where, f"the output '{name}' is a sequence, not a tensor", "return tensors only")
        elif found is NO_FORM:
            self.problems.add("", self.where, f"the output '{name}' has no form in the graph", "leave it out of the outputs")
        elif found is None:
            raise InputError(f"nothing computes the output '{name}'", where=self.where, hint="copy or download the file again")
        return None

    # ------------------------------------------------------------------ bodies

    def _note_readers(self, nodes: Iterable[Any], outputs: Iterable[str]) -> None:
        """Notes what reads the names of a graph or body."""
        for name, reader in (*((n, node.op_type) for node in nodes for n in reads(node)), *((n, "") for n in outputs)):
            self.building.read.add(name)
            self.building.readers.setdefault(name, set()).add(reader)

    def _body(self, proto: Any, names: dict[str, _Found], opset: int) -> None:
        """Initialisers and nodes of a graph, into ``names``."""
        for tensor in proto.initializer:
            if tensor.name not in names:
                names[tensor.name] = self._initialiser(tensor)
        self._nodes(proto.node, names, opset)

    def _initialiser(self, tensor: Any) -> Operand:
        value = self.graph.constant(read_tensor(tensor, self.folder, self.where), tensor.name)
        self.building.room += 2 * value.tensor.nbytes
        if int(tensor.data_type) not in TORCH:
            self.building.widened[id(value)] = type_name(int(tensor.data_type))
            self.building.kept.append(value)
        if value.type.is_float:
            self.building.is_weight(value, value.name)
        return value

    def _nodes(self, nodes: Iterable[Any], names: dict[str, _Found], opset: int) -> None:
        for node in in_order(nodes, set(names), self.where):
            results = self._results(node, names, opset)
            for index, name in enumerate(node.output):
                if name:
                    found = results[index] if results is not None and index < len(results) else None
                    names[name] = MISSING if results is None else NO_FORM if found is None else found

    def _results(self, node: Any, names: dict[str, _Found], opset: int) -> tuple[_Found, ...] | None:
        """What a node gives; None where it, or something that it reads, has no form in the graph."""
        ctx = Lowering(self.building, node, opset)
        try:
            inputs = [names[name] if name else None for name in node.input]
            lost = [name for name, found in zip(node.input, inputs, strict=True) if found is NO_FORM]
            if lost:
                raise ctx.refused(f"'{lost[0]}' is read, a result that has no form in the graph", "use its other results only")
            if any(found is MISSING for found in inputs):
                self._check_known(ctx)
                return None
            count = len(self.graph.nodes)
            results = self._lowered(ctx, inputs, names)  # type: ignore[arg-type]
            if results is not None:
                self._name(ctx, results, count)
            return results
        except Unsupported as error:
            self._problem(ctx, error)
        except BatchInNumber:
            self._problem(ctx, ctx.refused("the batch size enters a computation as a number"))
        except _CONTRADICTIONS as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"'{ctx.op_name}' contradicts itself or its inputs: {reason}",
                where=ctx.where,
                hint="onnx.checker.check_model(path, full_check=True) says more",
            ) from error
        return None

    def _lowered(self, ctx: Lowering, inputs: list[Operand | None], names: dict[str, _Found]) -> tuple[_Found, ...] | None:
        node = ctx.node
        if node.op_type == "If" and node.domain in _DOMAINS:
            return self._inlined_body(ctx, chosen_branch(ctx, inputs), names)
        if node.op_type in _LOOPS and node.domain in _DOMAINS:
            return self._unrolled(ctx, inputs, names)
        found = self._functions.get((node.domain, node.op_type))
        lowering = lowerings().get(node.op_type) if node.domain in _DOMAINS else None
        if lowering is None or found is not None:
            function = Function.of_model(found) if found is not None else function_of(ctx, inputs, self._opsets)
            if function is None:
                self._check_known(ctx)
                return None
            return self._inlined_function(ctx, function, inputs)
        narrow = [self.building.widened[id(x)] for x in inputs if id(x) in self.building.widened]
        ctx.need(not narrow or node.op_type in _TAKES_ANY, f"computes with {narrow[0] if narrow else ''}")
        attributes = read_attributes(node, self.folder, ctx.path)
        of_sizes = on_sizes(ctx, inputs, attributes)
        result: Result = call(lowering, ctx, inputs, attributes) if of_sizes is None else of_sizes
        return result if isinstance(result, tuple) else (result,)

    def _inlined_function(self, ctx: Lowering, function: Function, inputs: list[Operand | None]) -> tuple[_Found, ...] | None:
        """The nodes of a function's body, in the place of its call."""
        inner: dict[str, _Found] = dict(zip(function.inputs, inputs, strict=False))
        inner.update(dict.fromkeys(function.inputs[len(inputs) :]))
        with _Deeper(self, ctx):
            nodes = function.nodes(ctx)
            self._note_readers(
                nodes, [n for n, o in zip(function.outputs, ctx.node.output, strict=False) if o in self.building.read]
            )
            self._nodes(nodes, inner, function.opset or ctx.opset)
        results = tuple(inner.get(name) for name in function.outputs)  # a body may leave optional results out
        return None if any(found is MISSING for found in results) else results

    def _inlined_body(self, ctx: Lowering, body: Any, names: Mapping[str, _Found]) -> tuple[_Found, ...] | None:
        """What the body of a branch or step gives; it reads what is around it."""
        inner = dict(names)
        with _Deeper(self, ctx):
            self._note_readers(body.node, [value.name for value in body.output])
            self._body(body, inner, ctx.opset)
        results = tuple(inner.get(value.name, MISSING) for value in body.output)
        return None if any(found is MISSING for found in results) else results

    def _unrolled(self, ctx: Lowering, inputs: list[Operand | None], names: Mapping[str, _Found]) -> tuple[_Found, ...] | None:
        """The steps of a Loop or Scan, one after the other. All share the body's constants."""
        body = next((attribute.g for attribute in ctx.node.attribute if attribute.HasField("g")), None)
        if body is None:
            raise ctx.refused(f"'{ctx.op_name}' has no body")
        around = {**names, **{tensor.name: self._initialiser(tensor) for tensor in body.initializer}}

        def step(given: dict[str, Operand | Row]) -> tuple[Operand | Row, ...] | None:
            results = self._inlined_body(ctx, body, {**around, **given})
            if results is not None and any(found is NO_FORM for found in results):
                raise ctx.refused(f"the body of '{ctx.op_name}' gives a result that has no form in the graph")
            return results  # type: ignore[return-value]

        return _LOOPS[ctx.op_name](ctx, body, inputs, step)

    # ------------------------------------------------------------------ names and refusals

    def _name(self, ctx: Lowering, results: tuple[_Found, ...], count: int) -> None:
        """New values are called as in the file."""
        made = {id(value) for node in self.graph.nodes[count:] for value in node.outputs}
        for name, value in zip(ctx.node.output, results, strict=False):
            if name and isinstance(value, Value) and (id(value) in made or (value.is_constant and not self._is_named(value))):
                self.graph._names.discard(value.name)
                value.name = self.graph.unique_name(name)

    def _is_named(self, value: Value) -> bool:
        return self.building.weights.get(id(value)) == value.name

    def _check_known(self, ctx: Lowering) -> None:
        """An operator without lowering is told even where its inputs are lost."""
        node = ctx.node
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in self._functions:
            self.problems.add(
                ctx.op_name,
                ctx.where,
                f"'{node.op_type}' is an operator of '{node.domain}', not of ONNX",
                "export the model with ONNX's own operators (domain ai.onnx)",
            )
        elif node.domain in _DOMAINS and node.op_type not in {*lowerings(), *_LOOPS, "If"}:
            self.problems.add(ctx.op_name, ctx.where, f"edgekit has no form for '{node.op_type}' of opset {ctx.opset}", None)

    def _problem(self, ctx: Lowering, error: EdgekitError) -> None:
        self.problems.add(ctx.op_name, ctx.where, error.what, error.hint)


class _Deeper:
    """One body inside another.

    Raises:
        Unsupported: there are too many, as of a function that calls itself.
    """

    def __init__(self, translator: Translator, ctx: Lowering) -> None:
        self.translator, self.ctx = translator, ctx

    def __enter__(self) -> None:
        self.translator._depth += 1
        self.translator._calls += 1
        if self.translator._calls > _MOST_CALLS:
            raise self.ctx.refused(f"the file calls more than {_MOST_CALLS} functions")
        if self.translator._depth > _DEEPEST:
            raise self.ctx.refused(f"'{self.ctx.op_name}' stands inside {_DEEPEST} other functions or branches")

    def __exit__(self, *error: object) -> None:
        self.translator._depth -= 1
