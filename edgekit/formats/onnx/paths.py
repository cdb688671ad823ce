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
    try:
        count = len(_chain(onnx.load_model_from_string(data).graph))
    except Exception as error:  # protobuf's error class depends on its backend
        raise InputError(
            f"this is not an ONNX file, or it is damaged: {error}", hint="copy or download the file again"
        ) from error
    return [_forced(onnx, data, index) for index in range(count + 1)] if count else []


def rates_of(data: bytes) -> ExitRates | None:
    """What the file says of its exits; None where it says nothing."""
    import onnx

    entries = {entry.key: entry.value for entry in onnx.load_model_from_string(data).metadata_props}
    return ExitRates.decode(entries.get(EXITS_KEY))


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
