"""Operators that a file or ONNX itself defines by other operators: their bodies stand in for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.element_types import TORCH
from edgekit.frontend.onnx.sizes import Sizes
from edgekit.ir.types import Batch

_NUMBERS = {dtype: number for number, dtype in TORCH.items()}


@dataclass(frozen=True)
class Function:
    """A body: names of its inputs and outputs, its ``FunctionProto``, and the opset of its nodes (0: the caller's)."""

    proto: Any
    opset: int

    @staticmethod
    def of_model(proto: Any) -> Function:
        """A function that the file brings along."""
        return Function(proto, next((int(o.version) for o in proto.opset_import if o.domain in ("", "ai.onnx")), 0))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names that the body reads its inputs under."""
        return tuple(self.proto.input)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of its results in the body."""
        return tuple(self.proto.output)

    def nodes(self, ctx: Lowering) -> list[Any]:
        """The body's nodes, with the call's attributes in place of references to them; named after the call."""
        given = {attribute.name: attribute for attribute in self.proto.attribute_proto}
        given.update({attribute.name: attribute for attribute in ctx.node.attribute})
        return [_filled(node, given, ctx.path) for node in self.proto.node]


def function_of(ctx: Lowering, inputs: Sequence[Operand | None], opsets: Mapping[str, int]) -> Function | None:
    """The body that ONNX gives an operator; None where it has none."""
    import onnx

    node = ctx.node
    if node.domain not in ("", "ai.onnx"):
        return None
    try:
        schema = onnx.defs.get_schema(node.op_type, ctx.opset, "")
    except onnx.defs.SchemaError:
        return None
    versions = [v for v in schema.function_opset_versions if v <= ctx.opset]
    if versions:
        proto = onnx.FunctionProto()
        proto.ParseFromString(schema.get_function_with_opset_version(max(versions)))
        return Function(proto, max(versions))
    versions = [v for v in schema.context_dependent_function_opset_versions if v <= ctx.opset]
    types = [_type(x) for x in inputs]
    if not versions or any(t is None for t in types):
        return None
    made = schema.get_context_dependent_function_with_opset_version(
        max(versions), node.SerializeToString(), [t.SerializeToString() for t in types if t is not None]
    )
    proto = onnx.FunctionProto()
    proto.ParseFromString(made)
    return Function(proto, max(versions)) if proto.node else None


def _type(x: Operand | None) -> Any:
    """A ``TypeProto`` as ONNX's builders of bodies want it; an absent input has an empty one."""
    import onnx

    if x is None:
        return onnx.TypeProto()
    if isinstance(x, Sizes):
        return onnx.helper.make_tensor_type_proto(_NUMBERS[x.dtype], list(x.array.shape))
    if x.type.dtype not in _NUMBERS:
        return None
    return onnx.helper.make_tensor_type_proto(
        _NUMBERS[x.type.dtype], ["N" if isinstance(dim, Batch) else dim for dim in x.type.shape]
    )


def _filled(node: Any, given: Mapping[str, Any], path: str) -> Any:
    """A copy with the call's attributes, named so that errors show the call."""
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = f"{path}/{node.name}" if node.name else path
    del copy.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            copy.attribute.append(attribute)
        elif attribute.ref_attr_name in given:
            kept = copy.attribute.add()
            kept.CopyFrom(given[attribute.ref_attr_name])
            kept.name = attribute.name
    return copy
