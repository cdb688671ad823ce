"""A traced program becomes a graph, node by node."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch._ops import OpOverload
from torch.export.exported_program import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind

from edgekit.errors import Unsupported
from edgekit.frontend.torch.constants import evaluate, is_fixed, own
from edgekit.frontend.torch.context import Building, Lowering
from edgekit.frontend.torch.decompose import decomposed, tensor_arguments
from edgekit.frontend.torch.dims import Sizes
from edgekit.frontend.torch.higher_order import subprogram
from edgekit.frontend.torch.memory import Memory
from edgekit.frontend.torch.outputs import check_types, ends_of_calls, is_number, name_output
from edgekit.frontend.torch.places import where
from edgekit.frontend.torch.problems import Problems
from edgekit.frontend.torch.signature import signature_of
from edgekit.frontend.torch.table import functional_twin, is_nondeterministic, lowerings, op_name
from edgekit.frontend.torch.training import TrainingTrace
from edgekit.ir import Graph, Value
from edgekit.ir.types import TensorType

aten = torch.ops.aten

#: Checks of the source, and hints to the tracer: no values.
_WITHOUT_VALUE = {
    aten._assert_async.msg,
    aten._assert_async.default,
    aten._assert_scalar.default,
    aten._assert_tensor_metadata.default,
    aten.sym_constrain_range.default,
    aten.sym_constrain_range_for_size.default,
}

#: In-place ops that change no element.
_HARMLESS = {aten.detach_.default: aten.detach.default, aten.requires_grad_.default: aten.detach.default}

#: In-place ops that change the shape of the tensor they are given.
_RESHAPING = ("squeeze_", "unsqueeze_", "transpose_", "t_", "swapdims_", "swapaxes_", "resize_", "set_")


class _Missing:
    """The result of something that could not be lowered."""


MISSING = _Missing()


class Translator:
    """Builds the graph of one program.

    Args:
        program: the traced program.
        graph: a graph that holds the source's state already.
        modules: the source's modules by path; empty for a program that comes from a file.
        training: what nodes do in training, where that is known.
        device: where constants are made.
        parameters: names of the forward's parameters; None: as the program says.
        assigned: tensor attributes that forward assigns.
    """

    def __init__(
        self,
        program: ExportedProgram,
        graph: Graph,
        *,
        modules: Mapping[str, nn.Module],
        training: TrainingTrace | None,
        device: torch.device,
        parameters: tuple[str, ...] | None = None,
        assigned: Sequence[str] = (),
    ) -> None:
        self.program = program
        self.graph = graph
        sizes = Sizes(batch_symbol(program))
        state = {id(value) for value in graph.state.values()}
        self.building = Building(graph, sizes, device, modules, training, state)
        self.memory = Memory(self._relower)
        self.problems = Problems(graph.name)
        self._parameters = parameters
        self._assigned = assigned
        self._outer: fx.Node | None = None  # what is being taken apart

    def run(self) -> Graph:
        """The graph.

        Raises:
            Unsupported: with all nodes that have no form in the graph.
        """
        nodes = list(self.program.graph.nodes)
        self._placeholders([n for n in nodes if n.op == "placeholder"])
        self._walk([n for n in nodes if n.op not in ("placeholder", "output")], self.program.graph_module)
        self._outputs(next(n for n in nodes if n.op == "output"))
        self.problems.raise_if_any()
        self.graph.signature = signature_of(self.program, self._parameters)
        self.graph.eliminate_dead()
        self._check_writes()
        return self.graph

    # ------------------------------------------------------------------ inputs and outputs

    def _placeholders(self, nodes: list[fx.Node]) -> None:
        for node, spec in zip(nodes, self.program.graph_signature.input_specs, strict=True):
            if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
                self.memory.hold(node, self.graph.state[str(spec.target)])
            elif spec.kind is InputKind.CONSTANT_TENSOR:
                if spec.target in self._assigned and node.users:
                    raise _keeps_state(str(spec.target))
                data = self.program.constants[str(spec.target)]
                self.memory.hold(node, self.graph.constant(own(data), str(spec.target)))
            elif spec.kind is InputKind.USER_INPUT and isinstance(node.meta.get("val"), torch.Tensor):
                self.memory.hold(node, self.graph.add_input(node.name, self._input_type(node)))
            elif spec.kind is InputKind.USER_INPUT:
                self.memory.hold(node, node.meta.get("val"))
            else:
                raise Unsupported(
                    f"the model holds '{spec.target}', which is not a tensor ({spec.kind.name.lower()})",
                    where=str(spec.target),
                    hint="what it holds as tensors: parameters and buffers",
                )

    def _input_type(self, node: fx.Node) -> TensorType:
        try:
            return self.building.sizes.type(node.meta["val"])
        except Unsupported as error:
            hint = error.hint or "export with fixed sizes; only the batch may vary"
            raise Unsupported(error.what, where=f"input '{node.name}'", hint=hint) from None

    def _outputs(self, node: fx.Node) -> None:
        for result, spec in zip(node.args[0], self.program.graph_signature.output_specs, strict=True):  # type: ignore[arg-type]
            if spec.kind is not OutputKind.USER_OUTPUT:
                if isinstance(result, fx.Node) and spec.target is not None:
                    self._note_mutation(spec.kind, str(spec.target))
                continue
            if isinstance(spec.arg, ConstantArgument):
                continue
            value = self.memory.read(result) if isinstance(result, fx.Node) and self._has(result) else None
            if isinstance(value, Value):
                self.graph.outputs.append(value)
            elif value is not MISSING:
                self.problems.add(
                    "output", None, "an output is a number that follows the batch, not a tensor", "return tensors only"
                )

    def _has(self, node: fx.Node) -> bool:
        return node in self.memory

    def _note_mutation(self, kind: OutputKind, target: str) -> None:
        if kind is OutputKind.BUFFER_MUTATION:
            self._writes_to_state(target, None)

    # ------------------------------------------------------------------ nodes

    def _walk(self, nodes: list[fx.Node], owner: nn.Module) -> None:
        ends = ends_of_calls(nodes)
        for node in nodes:
            if node.op == "get_attr":
                held = owner.get_submodule(str(node.target)) if hasattr(owner, "get_submodule") else None
                self.memory.hold(node, held)
                continue
            if node.op != "call_function" or node.target in _WITHOUT_VALUE or is_number(node):
                continue
            count = len(self.graph.nodes)
            value = self._result(node)
            if value is not MISSING:
                check_types(node, value, self.building.sizes)
                if node in ends:
                    self._name(node, value, count)
            if node not in self.memory:
                self.memory.hold(node, value)

    def _name(self, node: fx.Node, value: Any, count: int) -> None:
        if node.target is operator.getitem and isinstance(node.args[0], fx.Node):  # one of several: the first is the output
            value = self.memory.read(node.args[0])
        name_output(self.graph, value[0] if isinstance(value, tuple) and value else value, where(node).module, count)

    def _result(self, node: fx.Node) -> Any:
        """The value of a call, or MISSING where it or something it reads can't be lowered."""
        ctx = Lowering(self.building, node, self._outer)
        try:
            if node.target is operator.getitem:
                return self._part(ctx, self.memory.read(node.args[0]))  # type: ignore[arg-type]
            if isinstance(node.target, torch._ops.HigherOrderOperator):
                return self._inline(ctx)
            return self._call(ctx)
        except Unsupported as error:
            self.problems.add(op_name(node.target), error.where or ctx.where, error.what, error.hint)
            return MISSING

    def _part(self, ctx: Lowering, whole: Any) -> Any:
        """One of several results."""
        if whole is MISSING:
            return MISSING
        part = whole[ctx.node.args[1]]
        if part is None and ctx.node.users:
            source = ctx.node.args[0]
            assert isinstance(source, fx.Node)
            name = op_name(source.target)
            raise ctx.refused(
                f"result {ctx.node.args[1]} of '{name}' is read, which has no form in the graph", "use its values only"
            )
        return part

    def _relower(self, node: fx.Node) -> Any:
        """A view, shown again after what it shows was written."""
        return self._result(node)

    def _call(self, ctx: Lowering) -> Any:
        node, target = ctx.node, ctx.node.target
        if not isinstance(target, OpOverload):
            raise ctx.refused(f"a call of '{op_name(target)}'")
        target = _HARMLESS.get(target, target)
        args, kwargs = self._arguments(node.args), self._arguments(node.kwargs)
        changes = target._schema.is_mutable
        if changes:
            name = target._schema.name.partition("::")[2]
            ctx.need(
                name not in _RESHAPING, "changes the shape of a tensor in place", f"use `x = x.{name.removesuffix('_')}(...)`"
            )
            twin = functional_twin(target)
            if twin is None:
                raise ctx.refused(f"no form for '{op_name(target)}', which writes in place")
            target = twin
        lowering = lowerings().get(target)
        flat = _flatten((args, kwargs))
        if any(x is MISSING for x in flat):
            if lowering is None:
                self.problems.add_missing(op_name(target), ctx.where, random=is_nondeterministic(target))
            return MISSING
        if is_fixed(ctx, target, flat):
            value: Any = evaluate(ctx, target, args, kwargs)
        elif lowering is None:
            value = self._taken_apart(ctx, target)
            if value is MISSING:
                return MISSING
        else:
            value = lowering(ctx, *args, **kwargs)
        if changes:
            written = node.args[0]
            assert isinstance(written, fx.Node) and isinstance(value, Value)
            value = ctx.cast(value, args[0].type.dtype)
            self.memory.write(ctx, node, written, value)
            return self.memory.read(node)
        return value

    def _taken_apart(self, ctx: Lowering, target: OpOverload) -> Any:
        """An op without lowering, in the form that torch itself gives it."""
        inner = decomposed(ctx.node) if self._outer is None and target is ctx.node.target else None
        if inner is None or any(n.op == "call_function" and not self._is_known(n) for n in inner.graph.nodes):
            self.problems.add_missing(op_name(target), ctx.where, random=is_nondeterministic(target))
            return MISSING
        self._outer = ctx.node
        try:
            return self._inlined(inner, tensor_arguments(ctx.node))
        finally:
            self._outer = None

    def _is_known(self, node: fx.Node) -> bool:
        return node.target in lowerings() or node.target is operator.getitem or is_number(node)

    def _inline(self, ctx: Lowering) -> Any:
        """A region that the tracer set apart (``no_grad``): its nodes join the others."""
        return self._inlined(*subprogram(ctx, lambda n: self.memory.read(n)))

    def _inlined(self, inner: fx.GraphModule, arguments: Sequence[Any]) -> Any:
        placeholders = [n for n in inner.graph.nodes if n.op == "placeholder"]
        for placeholder, argument in zip(placeholders, arguments, strict=True):
            self.memory.hold(placeholder, self._argument(argument))
        self._walk([n for n in inner.graph.nodes if n.op not in ("placeholder", "output")], inner)
        (results,) = next(n for n in inner.graph.nodes if n.op == "output").args
        if isinstance(results, fx.Node):
            return self.memory.read(results)
        values = tuple(self._argument(r) for r in results)
        return MISSING if any(v is MISSING for v in values) else values

    def _arguments(self, arguments: Any) -> Any:
        if isinstance(arguments, dict):
            return {name: self._argument(a) for name, a in arguments.items()}
        return [self._argument(a) for a in arguments]

    def _argument(self, argument: Any) -> Any:
        """A traced argument as lowerings take it."""
        if isinstance(argument, fx.Node):
            if is_number(argument):
                return self._number(argument.meta["val"])
            return self.memory.read(argument)
        if isinstance(argument, list | tuple):
            return [self._argument(a) for a in argument]
        return argument

    def _number(self, value: Any) -> Any:
        if isinstance(value, torch.SymInt):
            return self.building.sizes.dim(value)
        if isinstance(value, torch.SymFloat | torch.SymBool):
            expression = value.node.expr
            if expression.is_number or expression.is_Boolean:
                return float(expression) if isinstance(value, torch.SymFloat) else bool(expression)
            raise Unsupported(
                f"a number that is known only while running enters a computation: {expression}",
                hint="let no number depend on the batch size or on a tensor's values (.item())",
            )
        return value

    # ------------------------------------------------------------------ writes

    def _check_writes(self) -> None:
        """Inputs that the source changes in place are changed in the graph only; state that it changes is an error."""
        specs = dict(zip(self.program.graph.nodes, self.program.graph_signature.input_specs, strict=False))
        for root in dict.fromkeys(self.memory.written):
            spec = specs.get(root)
            if spec is None:
                continue
            if spec.kind is InputKind.USER_INPUT:
                self.graph.notes.append(
                    f"the source changes its input '{root.name}' in place; the graph leaves the caller's tensor alone"
                )
            else:
                self._writes_to_state(str(spec.target), root)

    def _writes_to_state(self, name: str, root: fx.Node | None) -> None:
        value = self.graph.state.get(name)
        if value is None or not self.graph.readers(value):
            self.graph.notes.append(f"the source writes '{name}' on each call; no output depends on it and the graph does not")
            return
        raise _keeps_state(name)


def batch_symbol(program: ExportedProgram) -> Any:
    """The sympy symbol of the batch size: the first symbolic size among the inputs; None for a static batch."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and isinstance(value, torch.Tensor):
            for size in value.shape:
                if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                    return size.node.expr
    return None


def _keeps_state(name: str) -> Unsupported:
    return Unsupported(
        f"the model keeps state between calls: it writes '{name}' in inference",
        where=name,
        hint="pass the state as an input and return the new one",
    )


def _flatten(arguments: Any) -> list[Any]:
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    if isinstance(arguments, list | tuple):
        return [x for a in arguments for x in _flatten(a)]
    return [arguments]
