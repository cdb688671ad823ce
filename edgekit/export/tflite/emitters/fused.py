"""Activations that kernels apply to their own results."""

from __future__ import annotations

from edgekit.export.tflite.emission import Site
from edgekit.formats.tflite.schema_generated import ActivationFunctionType, BuiltinOperator

#: The graph's names of fused activations in the schema's terms.
FUSED: dict[str, ActivationFunctionType] = {
    "none": ActivationFunctionType.NONE,
    "relu": ActivationFunctionType.RELU,
    "relu6": ActivationFunctionType.RELU6,
    "relu_n1_to_1": ActivationFunctionType.RELU_N1_TO_1,
}

#: The same as operators of their own.
ALONE: dict[str, BuiltinOperator] = {
    "relu": BuiltinOperator.RELU,
    "relu6": BuiltinOperator.RELU6,
    "relu_n1_to_1": BuiltinOperator.RELU_N1_TO_1,
}


def give_before(site: Site, activation: str) -> int:
    """The tensor for the result of a kernel that fuses nothing: the output itself, or one that `finish` activates."""
    output = site.give()
    return output if activation == "none" else site.new_like(output, site.sheet.tensors[output].shape)


def finish(site: Site, activation: str, result: int) -> None:
    """Apply the activation of a node whose kernel fuses nothing."""
    if activation != "none":
        site.write(ALONE[activation], [result], [site.to.tensor(site.node.output, site.form)])
