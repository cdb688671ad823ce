"""Documents stay true: what they name exists, what they quote is said, and the commands that they show are understood."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from edgekit.cli.root import COMMANDS, root

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = sorted([*(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md", *(REPOSITORY / "examples").rglob("*.md")])
SOURCES = "\n".join(path.read_text() for path in sorted((REPOSITORY / "edgekit").rglob("*.py")))

#: Beginnings of paths of this repository, in backticks.
_PATH = re.compile(r"`((?:edgekit|tests|docs|targets|examples|passes|bench)/[A-Za-z0-9_./-]+)`")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_and_paths_lead_somewhere(path: Path) -> None:
    text = path.read_text()
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in link:
            assert (path.parent / link).exists(), link
    for named in _PATH.findall(text):
        assert (REPOSITORY / named).exists() or (REPOSITORY / "edgekit" / named).exists(), named


@pytest.mark.parametrize("name", ["adding-an-op.md", "adding-a-pass.md", "adding-a-target.md"])
def test_guides_have_at_most_eight_steps(name: str) -> None:
    steps = re.findall(r"^(\d+)\. ", (REPOSITORY / "docs" / name).read_text(), re.MULTILINE)
    assert [int(step) for step in steps] == list(range(1, len(steps) + 1)) and len(steps) <= 8


def test_errors_that_troubleshooting_quotes_are_said_somewhere() -> None:
    headings = re.findall(r"^### (.*)$", (REPOSITORY / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    quoted = [part for heading in headings for part in re.findall(r'"([^"]+)"', heading)]
    assert len(quoted) > 20
    said = re.sub(r"\{[^}]*\}", "...", re.sub(r'"\s*\n\s*f?"', "", SOURCES))
    for message in quoted:
        for part in re.split(r"\.\.\.+|'", message):
            assert part.strip(" ',:") in said, f"{message!r}: no error says {part!r}"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_commands_and_options_exist(path: Path) -> None:
    context = click.Context(root)
    text = path.read_text()
    lines = [line for block in re.findall(r"```(?:sh|console)?\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    lines += re.findall(r"`(edgekit [^`]*)`", text)
    for line in lines:
        words = shlex.split(line.strip().removeprefix("$ "), comments=True) if line.strip().startswith("edgekit ") else []
        names = [word for word in words[1:] if not word.startswith("-")]
        if not names or not re.fullmatch(r"[a-z]+", names[0]):
            continue
        assert names[0] in COMMANDS, line
        command = root.get_command(context, names[0])
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for word in words:
            if word.startswith("--") and word.strip("-"):
                assert re.split(r"[=,\]]", word)[0] in known | {"--debug"}, f"{line}: {word}"


def test_rooms_of_the_architecture_are_those_of_the_package() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    table = text[text.index("| room |") : text.index("`targets/` holds")]
    listed = {name.removesuffix(".py") for name in re.findall(r"`([a-z_]+(?:\.py)?)`", table.replace("`bench/runner.py`", ""))}
    rooms = {p.stem for p in (REPOSITORY / "edgekit").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    missing = {name for name in listed if name not in rooms and not (REPOSITORY / "edgekit" / "export" / name).exists()}
    assert missing - {"compare", "inspect", "ops"} == set()


def test_modules_named_in_the_documents_import() -> None:
    for path in DOCS:
        for name in re.findall(r"`(edgekit(?:\.[a-z_]+)+)`", path.read_text()):
            if name in ("edgekit.toml", "edgekit.targets"):
                continue
            module, _, attribute = name.rpartition(".")
            try:
                importlib.import_module(name)
            except ModuleNotFoundError:
                assert hasattr(importlib.import_module(module), attribute), name


def test_the_report_is_documented_key_by_key() -> None:
    from edgekit.report.files import SCHEMA_PATH

    documented = re.findall(r"^\| ([^|]*) \|", (REPOSITORY / "docs" / "report.md").read_text(), re.MULTILINE)
    keys = {key for cell in documented for key in re.findall(r"`([a-z_]+)`", cell)}
    assert keys == set(json.loads(SCHEMA_PATH.read_text())["properties"])
