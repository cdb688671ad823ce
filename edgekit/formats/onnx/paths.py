"""The paths through an .onnx file with early exits, each as a file that takes no other."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.formats.exit_rates import EXITS_KEY, ExitRates

_LARGEST = float(np.finfo(np.float32).max)


def forced_paths(data: bytes) -> list[bytes]:
    """As ``edgekit.formats.tflite.paths.forced_paths``: ``Greater`` with an initializer decides each ``If``.

    Nothing where the package onnx is not installed.

    Raises:
        InputError: not an ONNX file, or a damaged one.
    """
    try:
        import onnx
    except ImportError:
        return []
    count = len(_chain(_opened(onnx, data).graph))
    return [_forced(onnx, data, index) for index in range(count + 1)] if count else []


def telling(data: bytes) -> tuple[bytes, int] | None:
    """As ``edgekit.formats.tflite.paths.telling``; None also where the package onnx is not installed.

    Raises:
        InputError: not an ONNX file, or a damaged one.
    """
    try:
        import onnx
    except ImportError:
        return None
    model = _opened(onnx, data)
    levels = [graph for graph, _ in _chain(model.graph)]
    for index, graph in reversed(list(enumerate(levels))):
        choice = next(node for node in graph.node if node.op_type == "If")
        branches = {attribute.name: attribute.g for attribute in choice.attribute}
        _say(onnx, branches["then_branch"], index)
        if index == len(levels) - 1:
            _say(onnx, branches["else_branch"], index + 1)
        choice.output.append(f"{choice.output[0]}/exit")
        graph.output.append(onnx.helper.make_tensor_value_info(choice.output[-1], onnx.TensorProto.INT32, [1]))
    return (bytes(model.SerializeToString(deterministic=True)), len(levels) + 1) if levels else None


def _say(onnx: Any, branch: Any, exit: int) -> None:
    """A branch gives a number as its last output."""
    name = f"{branch.output[0].name}/says"
    branch.node.append(onnx.helper.make_node("Constant", [], [name], value_ints=[exit]))
    branch.node.append(onnx.helper.make_node("Cast", [name], [f"{name}/int32"], to=onnx.TensorProto.INT32))
    branch.output.append(onnx.helper.make_tensor_value_info(f"{name}/int32", onnx.TensorProto.INT32, [1]))


def rates_of(data: bytes) -> ExitRates | None:
    """What the file says of its exits; None where it says nothing."""
    import onnx

    entries = {entry.key: entry.value for entry in onnx.load_model_from_string(data).metadata_props}
    return ExitRates.decode(entries.get(EXITS_KEY))


def _opened(onnx: Any, data: bytes) -> Any:
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's error class depends on its backend
        raise InputError(
            f"this is not an ONNX file, or it is damaged: {error}", hint="copy or download the file again"
        ) from error


def _chain(graph: Any) -> list[tuple[Any, Any]]:
    """Every comparison that decides an If, with the graph that it stands in, the first exit's first; [] for other graphs."""
    found: list[tuple[Any, Any]] = []
    while True:
        choices = [node for node in graph.node if node.op_type == "If"]
        if not choices:
            return found
        deciding = next((node for node in graph.node if choices[0].input[0] in node.output), None)
        own = {tensor.name for tensor in graph.initializer}
        if len(choices) > 1 or deciding is None or deciding.op_type != "Greater" or deciding.input[1] not in own:
            return []
        found.append((graph, deciding))
        graph = next(attribute.g for attribute in choices[0].attribute if attribute.name == "else_branch")


def _forced(onnx: Any, data: bytes, leave: int) -> bytes:
    model = onnx.load_model_from_string(data)
    for index, (graph, deciding) in enumerate(_chain(model.graph)):
        name = f"{deciding.output[0]}/forced"
        value = np.array(-_LARGEST if index == leave else _LARGEST, np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        deciding.input[1] = name
    return bytes(model.SerializeToString(deterministic=True))
