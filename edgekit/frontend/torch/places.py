"""Where in the user's model a traced node comes from."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import fx

from edgekit.ir.types import Where

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')
#: Code that is nobody's model: the tracer and its layers, and edgekit.
_NOT_THE_USERS = (str(Path(torch.__file__).parent), "torch/", str(Path(__file__).parents[2]), "<")


def module_path(node: fx.Node) -> str:
    """Dotted path of the module whose forward made a node, ``""`` for the root."""
    calls = list(node.meta.get("nn_module_stack", {}).values())
    path = str(calls[-1][0]) if calls else ""
    return "" if path.startswith("_empty_nn_module_stack") else re.sub(r"@\d+", "", path)


def call_of(node: fx.Node) -> str:
    """A key for the innermost module call of a node: a module that is called twice has two."""
    calls = list(node.meta.get("nn_module_stack", {}))
    return str(calls[-1]) if calls else ""


def where(node: fx.Node) -> Where:
    """Module path, and the innermost frame of the user's own code."""
    frames = [m for m in _FRAME.finditer(node.meta.get("stack_trace") or "") if is_users(m["file"])]
    if not frames:
        return Where(module_path(node))
    frame = frames[-1]
    return Where(module_path(node), shown(frame["file"]), int(frame["line"]), frame["function"])


def is_users(file: str) -> bool:
    """A file that is neither torch's nor edgekit's."""
    return not file.startswith(_NOT_THE_USERS)


def shown(file: str) -> str:
    """A file below the current folder is shown relative to it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
