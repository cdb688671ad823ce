"""What a micro-controller needs beside the file: its arena as TensorFlow Lite Micro plans it, and the model as C++ sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.bench.micro import arena, available
from edgekit.export.tflm_c import write_c
from edgekit.report import StageFile
from edgekit.target import Target


@dataclass(frozen=True)
class MicroFacts:
    """The measured arena in bytes (None where it was not measured) and what the user should know."""

    arena_bytes: int | None = None
    warnings: tuple[str, ...] = ()


def write_micro_files(path: Path, target: Target) -> MicroFacts:
    """Measures the arena by loading and running the artifact in TensorFlow Lite Micro, and writes the C++ sources beside it.

    Nothing happens for targets of other runtimes.

    Raises:
        Unsupported: TensorFlow Lite Micro refuses the file.
    """
    if target.runtime != "tflite-micro":
        return MicroFacts()
    if not available():
        lost = "its arena is not measured, it was not run there, and no C++ sources are written"
        return MicroFacts(None, (f"the package tflite-micro is not installed: {lost} (pip install 'edgekit[micro]')",))
    found = arena(path)
    write_c(path, path.parent, arena_total=found.total, arena_head=found.head)
    return MicroFacts(found.total)


def write_stage_sources(folder: Path, stages: Iterable[StageFile], target: Target) -> tuple[StageFile, ...]:
    """The same for each stage of a network in stages, which then know their arenas.

    The stages run one after the other: an arena as large as the largest does for all, if what one hands on is kept elsewhere.

    Raises:
        Unsupported: TensorFlow Lite Micro refuses one of them.
    """
    return tuple(replace(stage, arena_bytes=write_micro_files(folder / stage.path, target).arena_bytes) for stage in stages)
