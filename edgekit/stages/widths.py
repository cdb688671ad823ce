"""A slimmable network in a build: every size is a network of its own, verified and reported; then comes what holds them all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.compress.slimmable.extraction import nested_of, sizes_of
from edgekit.compress.slimmable.size import Size
from edgekit.compress.slimmable.tying import Parts, Within
from edgekit.errors import OverBudget
from edgekit.ir import Graph
from edgekit.output import whole_folder, writing
from edgekit.stages.builds import Build
from edgekit.stages.precision import Lowered
from edgekit.target import Target

#: What the folder of all sizes of a target is called behind the target's name.
ALL = "sizes"

SCHEMA = "edgekit.sizes/1"

#: Of the smaller sizes' metrics.
OWN_SCORE = "the metric's source is this size as it was trained: what it has less than the whole network is no loss of the file"


class Family:
    """The sizes of one target's build, which know the largest one."""

    def __init__(self) -> None:
        self._whole: Lowered | None = None

    def keep(self, lowered: Lowered) -> None:
        """The first one is the largest."""
        self._whole = self._whole or lowered

    def within(self, parts: Parts) -> Within | None:
        """What a size's weights are parts of; None where the largest could not be built."""
        return None if self._whole is None else Within(parts, self._whole.float_graph, self._whole.graph)


@dataclass(frozen=True)
class Variant:
    """What is built of a graph for a target: the graph itself, or one of its sizes.

    Attributes:
        graph: an ordinary one.
        target: the target, which is called after the size too, as its folder is.
        size: None for a network that has one alone.
        parts: of the largest one's weights.
        family: the sizes that are built together.
    """

    graph: Graph
    target: Target
    size: Size | None
    parts: Parts
    family: Family

    @property
    def is_slimmable(self) -> bool:
        """It is one of several sizes."""
        return self.size is not None

    @property
    def is_smaller(self) -> bool:
        """It is one of several sizes, and not the whole network."""
        return self.size is not None and not self.size.is_whole

    @property
    def within(self) -> Within | None:
        """What its weights are parts of; None for the largest one, and for a network that has one size."""
        return self.family.within(self.parts) if self.is_smaller else None


def variants(graph: Graph, target: Target) -> Iterator[Variant]:
    """What is built for a target: one graph, or all sizes of a slimmable one, the largest first.

    Raises:
        UsageError: another step came behind ``slimmable``.
    """
    family = Family()
    sizes = sizes_of(graph)
    if not sizes:
        yield Variant(graph, target, None, {}, family)
    for size in sizes:
        nested = nested_of(graph, size)
        small = nested.filled(graph)
        small.history = graph.history
        named = target if size.is_whole else replace(target, name=f"{target.name}-{size.name}")
        yield Variant(small, named, size, nested.weights, family)


def build_sizes(build: Callable[[Variant], Build], graph: Graph, target: Target, output: Path) -> list[Build]:
    """One target: the graph, or every size of a slimmable one and what holds them all.

    Args:
        build: builds one of them.
        graph: after the recipe.
        target: the target.
        output: folder of the build.
    """
    made: list[tuple[Variant, Build]] = []
    try:
        for variant in variants(graph, target):
            try:
                built = build(variant)
            except Exception as error:  # also a bug of ours: the others are still written
                built = Build(variant.target.name, None, None, error)
            made.append((variant, built))
        sized = [(variant.size, built) for variant, built in made if variant.size is not None]
        return deliver(output, target, sized) if sized else [built for _, built in made]
    except Exception as error:
        return [*(built for _, built in made), Build(target.name, None, None, error)]


def deliver(output: Path, target: Target, built: Sequence[tuple[Size, Build]]) -> list[Build]:
    """Writes what holds all sizes into a folder of its own, and decides what a budget says of them.

    The folder has ``<name>.ekz``, from which a device makes the file of the width that it needs; for TFLite a file with a
    signature for each size; and ``sizes.json`` with what each of them comes to. A size that is over the device's budget is no
    failure where another one is within it: the largest such is named there as chosen.

    Args:
        output: folder of the build.
        target: as the user named it.
        built: every size with what came of it.

    Returns:
        The builds, those over budget without that error where another size is within it.
    """
    written = {size.name: build.artifact for size, build in built if build.artifact is not None}
    fits = [size for size, build in built if build.error is None]
    with whole_folder(output, f"{target.name}-{ALL}") as folder, writing(folder):
        facts: dict[str, Any] = {"schema": SCHEMA, "target": target.name, "sizes": [_row(size, build) for size, build in built]}
        facts["chosen"] = fits[0].name if fits else None
        if len(written) > 1:
            facts |= _files(folder, {name: path for name, path in written.items() if path is not None})
        (folder / "sizes.json").write_text(json.dumps(facts, indent=2) + "\n")
    if not fits:
        return [build for _, build in built]
    return [replace(build, error=None) if isinstance(build.error, OverBudget) else build for _, build in built]


def _row(size: Size, build: Build) -> dict[str, object]:
    report = build.report
    return {
        **size.as_dict(),
        "folder": build.target,
        "artifact": None if build.artifact is None else build.artifact.name,
        "bytes": None if build.artifact is None else build.artifact.stat().st_size,
        "within_budget": not isinstance(build.error, OverBudget),
        "error": None if build.error is None else str(build.error),
        "warnings": [] if report is None else list(report.warnings),
    }


def _files(folder: Path, files: dict[str, Path]) -> dict[str, object]:
    """The packed file of all, and for TFLite the one with signatures."""
    from edgekit.packing.archive import write as archive_of
    from edgekit.packing.files import pack

    largest = next(iter(files.values()))
    packed = pack(dict(files), folder / f"{largest.stem}.ekz")
    alone = archive_of(largest.read_bytes())
    found: dict[str, object] = {
        "packed": {
            "file": f"{largest.stem}.ekz",
            "bytes": len(packed.data),
            "parts": packed.parts,
            "largest_alone": len(alone.data),
            "parts_of_largest": alone.parts,
        }
    }
    if largest.suffix != ".tflite":
        return found
    from edgekit.export.tflite.several import with_signatures
    from edgekit.formats.tflite.signatures import signature_warning

    content, model = with_signatures({name: path.read_bytes() for name, path in files.items()})
    (folder / f"{largest.stem}.tflite").write_bytes(content)
    found["signatures"] = {
        "file": f"{largest.stem}.tflite",
        "bytes": len(content),
        "warning": signature_warning(model),
    }
    return found
