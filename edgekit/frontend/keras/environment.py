"""The Python that has TensorFlow: this one, or an environment of its own."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from edgekit.errors import UsageError

#: Names the interpreter of an environment with TensorFlow.
VARIABLE = "EDGEKIT_TENSORFLOW_PYTHON"

_INSTALL = (
    "pip install 'edgekit[tensorflow]', or pip install tensorflow into an environment of its own and name its interpreter: "
    f"{VARIABLE}=/path/to/python"
)


def interpreter(where: object) -> str:
    """The interpreter that converts: the one that the environment variable names, else this one.

    Raises:
        UsageError: the variable names no program, or TensorFlow is in neither.
    """
    named = os.environ.get(VARIABLE)
    if named:
        found = shutil.which(named) or (named if Path(named).is_file() else None)
        if found is None:
            raise UsageError(f"{VARIABLE} names '{named}', which is no program", where=VARIABLE, hint="the path of a python")
        return found
    if find_spec("tensorflow") is None:
        raise missing(where)
    return sys.executable


def missing(where: object) -> UsageError:
    """The error for a source that TensorFlow reads, without it."""
    return UsageError("this source is read by TensorFlow's converter, which is not installed", where=where, hint=_INSTALL)
