"""Real numbers around operators on integers: what ``integer_operators`` writes the nodes of a model with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.frontend.onnx.tensors import read_tensor

ONNX = ("", "ai.onnx")
#: Operators that give some of their first input's elements, or their largest, as they are.
_MOVING = frozenset(
    {
        "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Resize", "Slice", "SpaceToDepth",
        "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
#: Attributes that ONNX's operators have not.
_OF_KERNELS = frozenset({"channels_last", "opset"})


class Declined(Exception):
    """The operator keeps its form."""


#: What a damaged file makes of an operator.
_MISFITS = (Declined, EdgekitError, LookupError, ValueError, TypeError, RuntimeError)


#: Writes an operator's node in its other form, or raises `Declined`; and the one for a node, None where it has one form only.
Expansion = Callable[["Rewriting", Any], None]
ExpansionOf = Callable[[Any], Expansion | None]


class Rewriting:
    """One model on its way from integers to real numbers with scales."""

    def __init__(self, model: Any, folder: Path | None, where: str, expansion_of: ExpansionOf) -> None:
        self.model = type(model)()
        self.model.CopyFrom(model)
        self._stored = {tensor.name: tensor for tensor in self.model.graph.initializer}
        for node in self.model.graph.node:
            for attribute in node.attribute if node.op_type == "Constant" and node.output else ():
                if attribute.name == "value":
                    self._stored[node.output[0]] = attribute.t
        self._folder, self._where, self._expansion_of = folder, where, expansion_of
        #: Names of integers that are computed, with the names of their scale and zero point.
        self._integers: dict[str, tuple[str, str]] = {}
        self._nodes: list[Any] = []
        self._count = 0

    def run(self) -> Any:
        """The model in its other form."""
        for node in list(self.model.graph.node):
            self.rewrite(node)
        del self.model.graph.node[:]
        self.model.graph.node.extend(self._nodes)
        return self.model

    def rewrite(self, node: Any) -> None:
        """Writes a node, in its other form where it has one."""
        made = len(self._nodes)
        try:
            done = self._expanded(node) or self._moved(node)
        except _MISFITS:  # what is wrong with its tensors is said where the node is lowered
            del self._nodes[made:]
            done = False
        if not done:
            self._nodes.append(node)
        if node.domain in ONNX and node.op_type == "QuantizeLinear" and len(node.input) > 1 and node.output:
            self._integers[node.output[0]] = (node.input[1], node.input[2] if len(node.input) > 2 else "")

    def _expanded(self, node: Any) -> bool:
        expansion = self._expansion_of(node)
        if expansion is not None:
            expansion(self, node)
        return expansion is not None

    def _moved(self, node: Any) -> bool:
        """An operator that moves integers, on the real numbers that they stand for."""
        if node.domain not in ONNX or node.op_type not in _MOVING or not node.input or node.input[0] not in self._integers:
            return False
        if len(node.output) != 1 and node.op_type != "Split":  # places of maxima
            return False
        scale, zero = self._integers[node.input[0]]
        inputs = [self.real(node, node.input[0], scale, zero), *node.input[1:]]
        outputs = [self._name(node) if name else "" for name in node.output]
        self._nodes.append(node_for(node, node.op_type, inputs, outputs, node.attribute))
        for name, result in zip(node.output, outputs, strict=True):
            if name:
                self._quantize(node, result, name, scale, zero)
        return True

    # ------------------------------------------------------------------ what expansions write with

    def add(self, node: Any, kind: str, inputs: list[str], scale: str, zero: str) -> None:
        """The operator on real numbers in the place of ``node``, and its result as integers; as they are without a scale."""
        kept = [attribute for attribute in node.attribute if attribute.name not in _OF_KERNELS]
        if not scale:
            self._nodes.append(node_for(node, kind, inputs, [node.output[0]], kept))
            return
        result = self._name(node)
        self._nodes.append(node_for(node, kind, inputs, [result], kept))
        self._quantize(node, result, node.output[0], scale, zero)

    def real(self, node: Any, integers: str, scale: str, zero: str, axis: int | None = None) -> str:
        """The real numbers of integers; ``axis`` is that of scales for each channel."""
        import onnx

        name = self._name(node)
        inputs = [integers, scale, *([zero] if zero else [])]
        attributes = [] if axis is None or not self._several(scale) else [onnx.helper.make_attribute("axis", axis)]
        self._nodes.append(node_for(node, "DequantizeLinear", inputs, [name], attributes))
        return name

    def bias(self, node: Any, integers: str, *scales: str) -> str:
        """The real numbers of a bias, whose scale is the product of others."""
        import onnx

        data = [read_tensor(self._constant(name), self._folder, self._where).reshape(-1) for name in scales]
        product = data[0].new_ones(1)
        for each in data:
            product = product * each
        name = self._name(node)
        array = (product if product.numel() > 1 else product.reshape(())).float().numpy()
        self.model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        self._stored[name] = self.model.graph.initializer[-1]
        return self.real(node, integers, name, "", 0)

    def _quantize(self, node: Any, real: str, name: str, scale: str, zero: str) -> None:
        self._constant(scale)
        self._nodes.append(node_for(node, "QuantizeLinear", [real, scale, *([zero] if zero else [])], [name]))
        self._integers[name] = (scale, zero)

    def _several(self, scale: str) -> bool:
        return len(self._constant(scale).dims) > 0

    def _constant(self, name: str) -> Any:
        if name not in self._stored:
            raise Declined(f"'{name}' is computed")
        return self._stored[name]

    def _name(self, node: Any) -> str:
        self._count += 1
        return f"{node.output[0]}/real_{self._count}"


def node_for(origin: Any, kind: str, inputs: list[str], outputs: list[str], attributes: Any = ()) -> Any:
    """A node of ONNX's own in the place of another, which errors name."""
    import onnx

    made = onnx.helper.make_node(kind, inputs, outputs, name=origin.name or origin.output[0])
    made.attribute.extend(attributes)
    return made
