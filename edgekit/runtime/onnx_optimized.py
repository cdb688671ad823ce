"""What ONNX Runtime makes of a file before it runs it: which operators are computed on integers, and which in float."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from edgekit.errors import InputError, UsageError


def optimized_operators(model: str | Path | bytes, *, as_on_arm: bool = False) -> Counter[str]:
    """How many operators of each type ONNX Runtime executes on the CPU, after its own graph optimisations.

    The names are those of the runtime's operators, ``QLinearConv`` for a convolution on integers. The answer is this machine's:
    kernels and fusions differ between processors.

    Args:
        model: a path, or the bytes of a file.
        as_on_arm: treat signed integers as on ARM, where operators on them are fused directly. By default x86 first makes those
            unsigned that have a single reader, and leaves others in float.

    Raises:
        UsageError: onnxruntime or onnx is not installed.
        InputError: ONNX Runtime refuses the file.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UsageError(f"the package {error.name} is not installed", hint="pip install 'edgekit[build]'") from error
    options = onnxruntime.SessionOptions()
    if as_on_arm:
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.log_severity_level = 4  # it warns that an optimised file should not leave this machine
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no class but Exception
            where = None if isinstance(model, bytes) else str(model)
            raise InputError(
                f"ONNX Runtime cannot load this file: {error}", where=where, hint="build the artifact again"
            ) from error
        graph = onnx.load(path).graph
    return Counter(str(node.op_type) for node in graph.node)
