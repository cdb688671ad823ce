"""The call signature of a traced program."""

from __future__ import annotations

import inspect
from collections import namedtuple

from torch.export.exported_program import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.utils import _pytree as pytree

from edgekit.errors import Unsupported
from edgekit.ir.signature import Signature


def signature_of(program: ExportedProgram, parameters: tuple[str, ...] | None = None) -> Signature:
    """How the source is called and what nesting it returns.

    Args:
        program: the traced program.
        parameters: names of the forward's parameters in order; None: read from the program's own example.
    """
    spec = program.graph_signature
    inputs = [s.arg for s in spec.input_specs if s.kind is InputKind.USER_INPUT]
    outputs = [s.arg for s in spec.output_specs if s.kind is OutputKind.USER_OUTPUT]
    in_spec, out_spec = program.call_spec.in_spec, program.call_spec.out_spec
    input_constants = tuple(a.value if isinstance(a, ConstantArgument) else None for a in inputs)
    output_constants = tuple(a.value if isinstance(a, ConstantArgument) else None for a in outputs)
    return Signature(
        parameters if parameters is not None else _parameters(program),
        _dumped(in_spec),
        _dumped(out_spec),
        _slots([not isinstance(a, ConstantArgument) for a in inputs]),
        input_constants,
        _slots([not isinstance(a, ConstantArgument) for a in outputs]),
        output_constants,
    )


def forward_parameters(forward: object) -> tuple[str, ...]:
    """Names of a forward's parameters in order (without ``*args`` and ``**kwargs``)."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(p.name for p in inspect.signature(forward).parameters.values() if p.kind not in kinds)  # type: ignore[arg-type]


def _parameters(program: ExportedProgram) -> tuple[str, ...]:
    """The names that the program keeps of the forward that it was made from."""
    signature = program.module_call_graph[0].signature
    return tuple((signature and signature.forward_arg_names) or ())


def _slots(is_tensor: list[bool]) -> tuple[int | None, ...]:
    """For each leaf, its place among the tensors, None for the others."""
    places = iter(range(len(is_tensor)))
    return tuple(next(places) if tensor else None for tensor in is_tensor)


def _dumped(spec: pytree.TreeSpec) -> str:
    spec = _plain(spec)
    _register_named_tuples(spec)
    try:
        return pytree.treespec_dumps(spec)
    except (NotImplementedError, ValueError, TypeError) as error:
        raise Unsupported(
            f"the nesting of the model's arguments or results cannot be stored: {error}",
            hint="use tuples, lists, dicts and named tuples, or register the class with torch.export.register_dataclass",
        ) from error


def _plain(spec: pytree.TreeSpec) -> pytree.TreeSpec:
    """What torch returns from ``torch.max(x, 1)`` and others is a tuple of a class that it cannot store: a plain one."""
    children = [_plain(child) for child in spec.children()]
    if isinstance(spec.type, type) and spec.type.__module__ == "torch.return_types":
        return pytree.TreeSpec(tuple, None, children)
    return spec if spec.is_leaf() else pytree.TreeSpec(spec.type, spec.context, children)


def _register_named_tuples(spec: pytree.TreeSpec) -> None:
    """torch stores the class of a named tuple by a name that it wants to be told."""
    kind = spec.context if spec.type is namedtuple else spec.type
    if (
        isinstance(kind, type)
        and issubclass(kind, tuple)
        and hasattr(kind, "_fields")
        and kind not in pytree.SUPPORTED_SERIALIZED_TYPES
    ):
        pytree._register_namedtuple(kind, serialized_type_name=f"{kind.__module__}.{kind.__qualname__}")
    for child in spec.children():
        _register_named_tuples(child)
