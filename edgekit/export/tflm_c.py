"""A .tflite file as C++ for TensorFlow Lite Micro: the model as an array, the op resolver it needs, and the arena's size.

Two files, for any build system: ``<name>.cc`` with the array and ``<name>.h`` with everything else. The resolver registers the
model's own operators and no others, which keeps the other kernels out of the firmware.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import InputError, Unsupported
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import BuiltinOperator

#: Operators whose method in micro_mutable_op_resolver.h is not simply their name in CamelCase.
_METHODS = {
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "BATCH_MATMUL": "AddBatchMatMul",
    "BATCH_TO_SPACE_ND": "AddBatchToSpaceNd",
    "CONV_2D": "AddConv2D",
    "CUMSUM": "AddCumSum",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "L2_NORMALIZATION": "AddL2Normalization",
    "L2_POOL_2D": "AddL2Pool2D",
    "MAX_POOL_2D": "AddMaxPool2D",
    "PADV2": "AddPadV2",
    "SPACE_TO_BATCH_ND": "AddSpaceToBatchNd",
    "SPLIT_V": "AddSplitV",
    "SVDF": "AddSvdf",
    "TRANSPOSE_CONV": "AddTransposeConv",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}

_HEADER = """\
// {name}: written by edgekit. Model of {bytes:,} bytes; {ops} operators of {kinds} kinds.
#ifndef {guard}
#define {guard}

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

namespace {name} {{

// The model, aligned to 16 bytes, in flash.
extern const unsigned char model[];
constexpr size_t kModelBytes = {bytes};

// The least tensor arena, planned by TensorFlow Lite Micro's own interpreter: {head:,} bytes of activations and {tail:,} bytes
// of persistent structures on a 64-bit host; a 32-bit device needs fewer of the latter.
constexpr size_t kTensorArenaBytes = {arena};

// The kernels that the model needs, and no others.
using OpResolver = tflite::MicroMutableOpResolver<{kinds}>;

inline TfLiteStatus RegisterOps(OpResolver& resolver) {{
{registrations}
  return kTfLiteOk;
}}

}}  // namespace {name}

#endif  // {guard}
"""

_SOURCE = """\
// {name}: written by edgekit.
#include "{file}.h"

namespace {name} {{

alignas(16) const unsigned char model[] = {{
{rows}
}};

static_assert(sizeof(model) == kModelBytes, "the header belongs to another model");

}}  // namespace {name}
"""


@dataclass(frozen=True)
class CFiles:
    """The two files' content."""

    header: str
    source: str


def as_c(content: bytes, name: str, *, arena_total: int, arena_head: int) -> CFiles:
    """The C++ of a model.

    Args:
        content: the .tflite file.
        name: of namespace and files; letters that an identifier cannot have become underscores.
        arena_total: bytes of the arena (:func:`edgekit.bench.micro.arena`), rounded up to 16 here.
        arena_head: the part of it that is planned activations.

    Raises:
        InputError: not a TFLite file.
        Unsupported: a custom operator. Whether the builtin ones exist there, :func:`edgekit.bench.micro.arena` has found out.
    """
    model = read(content, where=name)
    kinds = sorted({operator.name for subgraph in model.subgraphs for operator in subgraph.operators})
    custom = [op.name for subgraph in model.subgraphs for op in subgraph.operators if op.code == BuiltinOperator.CUSTOM]
    if custom:
        hint = "register it by hand: resolver.AddCustom(...), with a kernel of your own"
        raise Unsupported(
            f"no kernel of TensorFlow Lite Micro is known for the custom operator '{custom[0]}'", where=name, hint=hint
        )
    identifier = _identifier(name)
    rows = [", ".join(f"0x{byte:02x}" for byte in content[at : at + 16]) for at in range(0, len(content), 16)]
    header = _HEADER.format(
        name=identifier,
        guard=f"EDGEKIT_{identifier.upper()}_H_",
        bytes=len(content),
        ops=sum(len(subgraph.operators) for subgraph in model.subgraphs),
        kinds=len(kinds),
        arena=-(-arena_total // 16) * 16,
        head=arena_head,
        tail=arena_total - arena_head,
        registrations="\n".join(f"  if (resolver.{_method(kind)}() != kTfLiteOk) return kTfLiteError;" for kind in kinds),
    )
    source = _SOURCE.format(name=identifier, file=identifier, rows="\n".join(f"    {row}," for row in rows))
    return CFiles(header, source)


def write_c(artifact: Path, folder: Path, *, arena_total: int, arena_head: int) -> tuple[Path, Path]:
    """Write ``<name>.h`` and ``<name>.cc`` for a .tflite file into ``folder``; returns their paths. Arguments as :func:`as_c`.

    Raises:
        InputError, Unsupported: see :func:`as_c`.
    """
    if not artifact.is_file():
        raise InputError(f"no file '{artifact}'", hint="check the path")
    files = as_c(artifact.read_bytes(), artifact.stem, arena_total=arena_total, arena_head=arena_head)
    base = folder / _identifier(artifact.stem)
    header, source = base.with_suffix(".h"), base.with_suffix(".cc")
    header.write_text(files.header)
    source.write_text(files.source)
    return header, source


def _method(kind: str) -> str:
    return _METHODS.get(kind) or "Add" + "".join(part.capitalize() for part in kind.split("_"))


def _identifier(name: str) -> str:
    word = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{word}" if word[:1].isdigit() or not word else word
