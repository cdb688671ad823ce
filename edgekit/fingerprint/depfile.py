"""Dependency files in the syntax of Make, which Ninja and CMake read too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgekit.output import write_whole


def write_depfile(path: Path, outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Write ``outputs: inputs``, and an empty rule for every input, so that a deleted one does not stop Make.

    Paths with a line break cannot be expressed in that syntax and are left out.
    """
    targets, sources = _escaped(outputs), _escaped(inputs)
    lines = [" ".join(targets) + ":" + "".join(f" \\\n  {source}" for source in sources)]
    lines += [f"{source}:" for source in sources]
    write_whole(path, "\n\n".join(lines) + "\n")


def _escaped(paths: Iterable[Path]) -> list[str]:
    texts = [str(path) for path in paths if "\n" not in str(path)]
    return [text.replace("\\", "\\\\").replace(" ", "\\ ").replace("#", "\\#").replace("$", "$$") for text in texts]
