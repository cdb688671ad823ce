"""Plain C beside the artifact: written, compiled and compared with the simulation, for targets of bare metal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.export.c_binary.compiled import compiler, run_compiled, version_of
from edgekit.export.c_binary.exporter import CFiles, export_c, identifier_of
from edgekit.ir import Graph
from edgekit.ir.integer.interpreter import Simulator
from edgekit.ir.quantized_data import quantize
from edgekit.report import Verification
from edgekit.target import Target

Array = NDArray[Any]

_IDENTICAL_DB = 200.0

_BYTES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4, "float": 4, "double": 8}

_NO_COMPILER = "there is no C compiler here: the C code was neither compiled nor compared with the simulation"


@dataclass(frozen=True)
class CCode:
    """The C files of an artifact, empty for targets that have none.

    Attributes:
        name: of files and functions.
        files: their text.
        rows: of the verification.
        warnings: what the user should know.
    """

    name: str = ""
    files: CFiles | None = None
    rows: tuple[Verification, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the C code takes: the report's sizes are those of the .tflite file beside it, which holds 8-bit integers."""
        if self.files is None:
            return ()
        constants, memory = constant_bytes(self.files.source), self.files.memory_bytes
        return (f"{self.name}.c has {constants:,} bytes of constants and {memory:,} of memory; sizes are the .tflite file's",)

    def write(self, folder: Path) -> None:
        """Writes ``<name>.c`` and ``<name>.h``."""
        if self.files is not None:
            (folder / f"{self.name}.h").write_text(self.files.header)
            (folder / f"{self.name}.c").write_text(self.files.source)


def constant_bytes(source: str) -> int:
    """Bytes of the constants of generated C code: its arrays, and the geometry of its layers, which are of 32 bits."""
    arrays = sum(_BYTES[kind] * int(count) for kind, count in re.findall(r"static const (\w+) \w+\[(\d+)\]", source))
    return arrays + sum(4 * len(numbers.split(",")) for numbers in re.findall(r"static const window_t \w+ = \{(.*?)\}", source))


def c_code(graph: Graph, target: Target, name: str, samples: list[Array]) -> CCode:
    """The C code of a lowered graph, run on samples and compared with the simulation; nothing for other targets.

    Args:
        graph: quantised, its signs fused.
        target: one of the runtime "c99".
        name: of the artifact.
        samples: stacked, as the graph takes them.

    Raises:
        Unsupported: the C code has no kernel for something.
        RuntimeError: the code does not compile or differs from the simulation: an error in edgekit.
    """
    if target.runtime != "c99":
        return CCode()
    name = identifier_of(name)
    files = export_c(graph, name)
    program = compiler()
    if program is None:
        return CCode(name, files, warnings=(_NO_COMPILER,))
    value = graph.inputs[0]
    assert value.quant is not None
    given = torch.from_numpy(samples[0])
    integers = given if given.dtype == torch.int8 else quantize(given, value.quant)
    wanted = _channels_last(Simulator(graph).run([integers])[0])
    got = run_compiled(files, name, _channels_last(integers), compiler_path=program)
    if not np.array_equal(got, wanted):
        raise RuntimeError(f"the C code of {name} differs from the simulation in {np.mean(got != wanted):.2%} of its integers")
    row = Verification("simulation", "C99", version_of(program), "compiled", len(got), _IDENTICAL_DB, 0.0, None, 1.0)
    return CCode(name, files, (row,))


def _channels_last(tensor: torch.Tensor) -> Array:
    """(N, C, ...) as rows of bytes in the order of the C code."""
    return tensor.movedim(1, -1).reshape(len(tensor), -1).contiguous().numpy()
