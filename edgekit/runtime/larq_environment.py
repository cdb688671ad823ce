"""Where Larq Compute Engine is: in an environment of its own, because it needs numpy below 2."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from edgekit.errors import UsageError

#: Names the Python of the environment in which larq-compute-engine is installed.
VARIABLE = "EDGEKIT_LCE_PYTHON"

INSTALL = (
    "python3.11 -m venv lce && lce/bin/pip install 'larq-compute-engine==0.16.0' 'numpy<2', then "
    f"{VARIABLE}=lce/bin/python (docs/binary-networks.md)"
)


def find_python() -> str | None:
    """The Python that has larq-compute-engine: the variable's, else this one if it has it, else None.

    Raises:
        UsageError: the variable names no file.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            raise UsageError(f"there is no Python at {named}", where=VARIABLE, hint=INSTALL)
        return named
    return sys.executable if importlib.util.find_spec("larq_compute_engine") is not None else None


def require_python() -> str:
    """``find_python``, or a UsageError that says how the engine is installed."""
    program = find_python()
    if program is None:
        raise UsageError("Larq Compute Engine is not installed", where=VARIABLE, hint=INSTALL)
    return program


def version_in(program: str) -> str | None:
    """The version of larq-compute-engine that a Python has, None where it has none."""
    command = [program, "-c", "from importlib.metadata import version; print(version('larq-compute-engine'))"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
