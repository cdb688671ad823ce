"""Rooms of edgekit import only rooms below them. The table is the architecture; a new room gets a line here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "edgekit"

FACTS = {"errors", "tables", "precision", "target", "config", "stream_settings"}
GRAPH = {"errors", "ir"}


#: What a layer adds to the error.
ERRORS = {"layer_errors", "alone_errors"}

#: Room (a folder or file of edgekit/) -> rooms that it may import. Listed from the bottom up. "edgekit" itself, the lazy door,
#: may be imported for its version by anybody; it imports nothing but errors until a name is used.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "metrics": set(),
    "diagram": set(),
    "tables": {"errors"},
    "formats": {"errors"},  # flatbuffers and protobufs read and written; knows files, no graph
    "packing": {"errors", "formats"},  # .ekz archives of files; knows bytes, no graph
    "precision": {"errors", "tables"},
    "target": {"errors", "tables", "precision"},
    "stream_settings": {"errors"},
    "config": {"errors", "tables", "precision", "target", "stream_settings"},
    "build_options": {"errors", "tables", "config"},
    "checks": {"errors", "tables"},
    "reference": {"errors", "tables"},
    "data": {"errors", "config", "reference"},
    "output": {"errors"},
    "fingerprint": {"errors", "tables", "target", "config", "output"},
    "doctor": {"errors", "runtime"},
    "ir": {"errors", "formats", "diagram"},
    "passes": GRAPH,
    "layer_errors": GRAPH | {"metrics"},
    "alone_errors": GRAPH | {"metrics", "layer_errors"},
    "train": {*GRAPH, "checks", "passes", "data", "config", "reference", "tables", "output"},
    "runtime": {"errors", "formats", "target"},  # runs artifacts; knows files, no graph
    # runtime: a .tflite source is run as it is, to compare with
    "frontend": {*GRAPH, "formats", "passes", "config", "reference", "tables", "runtime"},
    # frontend: teachers are models; export and bench: a measured budget is of a file that ran
    "compress": {*GRAPH, *ERRORS, "checks", "metrics", "passes", "train", "data", "frontend", "export", "bench", *FACTS},
    "export": {*GRAPH, "passes", "formats", *FACTS},
    "streaming": {*GRAPH, "formats", "export", "stream_settings"},  # export: how refusals are collected
    "bench": {*FACTS, "formats", "runtime", "data"},
    "report": {*GRAPH, *FACTS, "formats", "runtime", "layer_errors", "diagram"},
    # the parts of the flow, each one thing that a build does; they see what the flow sees, but not the flow
    "stages": {
        *GRAPH,
        *FACTS,
        "data",
        "output",
        "train",
        "passes",
        "compress",
        "export",
        "formats",
        "frontend",
        "runtime",
        "bench",
        "report",
        "streaming",
        "packing",
        "metrics",
        "layer_errors",
        "alone_errors",
        "reference",
    },
    "flow": {"*"},
    "comparison": {*GRAPH, "config", "formats", "frontend", "data", "runtime", "metrics", "layer_errors", "stages"},
    "operator_table": set(),
    "op_support": {*GRAPH, "passes", "compress", "export", "frontend"},
    "inspection": {*GRAPH, *FACTS, "formats", "frontend", "report", "diagram"},
    "cli": {"*"},
    "__main__": {"cli"},
    "__init__": {"*"},
}

#: Files with a stricter rule than their room's: they run on a device, or in an environment, that has no edgekit.
STANDS_ALONE = {"bench/runner.py", "runtime/larq_runner.py"}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of edgekit that a file imports, at its top or late, also under TYPE_CHECKING."""
    package = ("edgekit", *path.relative_to(PACKAGE).parent.parts)
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            modules |= {f"{module}.{alias.name}" for alias in node.names}
    names = {module.split(".")[1] for module in modules if module.startswith("edgekit.")}
    return {name for name in names if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}


def allowed(path: Path) -> set[str]:
    """Rooms that a file may import: its own and those below it."""
    room = room_of(path)
    return set() if str(path.relative_to(PACKAGE)) in STANDS_ALONE else MAY_IMPORT[room] | {room}


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_folder_of_code_is_a_package() -> None:
    """A folder without __init__.py is missing from the wheel."""
    assert {path.parent for path in FILES if not (path.parent / "__init__.py").is_file()} == set()


def test_every_room_has_a_line_in_the_table() -> None:
    assert {room_of(path) for path in FILES} - set(MAY_IMPORT) == set()


@pytest.mark.parametrize("room", sorted(room for room in MAY_IMPORT if "*" not in MAY_IMPORT[room]))
def test_the_files_of_a_room_import_only_rooms_below_their_own(room: str) -> None:
    wrong = {str(path.relative_to(PACKAGE)): imported_rooms(path) - allowed(path) for path in FILES if room_of(path) == room}
    assert {name: rooms for name, rooms in wrong.items() if rooms} == {}, (
        f"edgekit.{room} may import {sorted(MAY_IMPORT[room])}"
    )


def test_the_table_has_no_circle() -> None:
    above: dict[str, set[str]] = {room: rooms - {"*"} for room, rooms in MAY_IMPORT.items()}
    while above:
        free = {room for room, rooms in above.items() if not rooms & set(above)}
        assert free, f"these import each other: {sorted(above)}"
        above = {room: rooms for room, rooms in above.items() if room not in free}
