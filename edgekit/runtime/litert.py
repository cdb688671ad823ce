"""A thin door to LiteRT (ai-edge-litert): one file, numpy in, numpy out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, UsageError
from edgekit.formats.io_metadata import FileTensor
from edgekit.runtime.batched import LOOK, Batched
from edgekit.runtime.native_output import captured_stderr

Array = NDArray[Any]

#: Which kernels run the file. ``default`` is what an app gets (XNNPACK where it applies), ``reference`` the plain loops
#: that TFLite Micro and `edgekit.ir.simulate` agree with, ``builtin`` LiteRT's own optimised kernels without a delegate.
Kernels = Literal["default", "reference", "builtin"]

_RESOLVERS: dict[Kernels, str] = {
    "default": "AUTO",
    "reference": "BUILTIN_REF",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
}


class LiteRT(Batched):
    """A .tflite file, loaded and ready to run."""

    def __init__(
        self, model: str | Path | bytes, kernels: Kernels = "default", threads: int = 1, *, where: object | None = None
    ) -> None:
        """Load a file.

        Args:
            model: a path, or the bytes of a file.
            kernels: which implementation runs it.
            threads: CPU threads.
            where: what to name in an error; the path where one is given.

        Raises:
            UsageError: ai-edge-litert is not installed, or ``kernels`` is unknown.
            InputError: LiteRT refuses the file.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError as error:
            raise UsageError("LiteRT is not installed", where=sys.executable, hint="pip install 'edgekit[build]'") from error
        if kernels not in _RESOLVERS:
            raise UsageError(f"unknown kernels {kernels!r}", where="kernels", hint="one of " + ", ".join(_RESOLVERS))
        content = model if isinstance(model, bytes) else Path(model).read_bytes()
        self.where = where if isinstance(model, bytes) else str(model)
        try:
            with captured_stderr() as log:
                self._interpreter = Interpreter(
                    model_content=content,
                    num_threads=threads,
                    experimental_op_resolver_type=OpResolverType[_RESOLVERS[kernels]],
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"LiteRT cannot load this file: {error} {log.text}".rstrip(),
                where=self.where,
                hint="a file of another maker may need a newer runtime, a delegate or custom ops",
            ) from error
        names = self._signature_names()
        self.inputs = self._describe(self._interpreter.get_input_details(), names)
        self.outputs = self._describe(self._interpreter.get_output_details(), names)
        self._input_ids = [detail["index"] for detail in self._interpreter.get_input_details()]
        self._output_ids = [detail["index"] for detail in self._interpreter.get_output_details()]

    def _signature_names(self) -> dict[int, str]:
        """Tensor index -> argument or result name of the first signature."""
        signatures = self._interpreter._get_full_signature_list()
        empty: dict[str, dict[str, int]] = {"inputs": {}, "outputs": {}}
        first = next(iter(signatures.values()), empty)
        return {index: name for side in ("inputs", "outputs") for name, index in first[side].items()}

    @staticmethod
    def _describe(details: list[dict[str, Any]], names: dict[int, str]) -> tuple[FileTensor, ...]:
        out = []
        for detail in details:
            scale, zero_point = detail["quantization"]
            out.append(
                FileTensor(
                    name=names.get(detail["index"], detail["name"]),
                    shape=tuple(int(size) for size in detail["shape"]),
                    dtype=np.dtype(detail["dtype"]).name,
                    scale=float(scale) or None,
                    zero_point=int(zero_point),
                )
            )
        return tuple(out)

    def reset(self) -> None:
        """Sets what the file keeps between calls back to what it begins with."""
        self._interpreter.reset_all_variables()

    def invoke(self, inputs: Sequence[Array]) -> list[Array]:
        """One call with arrays of exactly the file's shapes and types, in the file's order.

        Raises:
            InputError: the number of inputs, a shape or a type differs, or the runtime fails.
        """
        self.check(inputs)
        for index, array in zip(self._input_ids, inputs, strict=True):
            self._interpreter.set_tensor(index, np.asarray(array, order="C"))  # which keeps rank 0
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"LiteRT failed while running: {error}", where=self.where, hint=LOOK) from error
        return [self._interpreter.get_tensor(index) for index in self._output_ids]

    def op_counts(self) -> dict[str, int]:
        """Operator name -> how often the runtime executes it; ``DELEGATE`` stands for all that XNNPACK took over."""
        counts: dict[str, int] = {}
        for details in self._interpreter._get_ops_details():
            counts[details["op_name"]] = counts.get(details["op_name"], 0) + 1
        return counts
