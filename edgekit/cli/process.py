"""Settings of a process that runs an edgekit command and nothing else. A program that imports edgekit keeps its own."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

#: New objects between two searches for reference cycles. torch and what traces models with it are some million objects that
#: stay: searching them again and again while they are imported takes a tenth of a build's time.
_OBJECTS = 100_000

#: torch's tracer imports torch's sharded training, which takes a fifth of the time of ``import torch`` and is not needed to
#: trace a model. It does without where that is not there (``except ModuleNotFoundError``), as on builds of torch without it.
_TRACER = "torch._dynamo"
_UNNEEDED = "torch.distributed.fsdp"

#: Versions of torch of which this is known.
_KNOWN_VERSIONS = ("2.13.",)


def become_command() -> None:
    """Sets this process up for one command that runs to its end."""
    _open_standard_files()
    gc.set_threshold(_OBJECTS, 20, 100)
    sys.meta_path.insert(0, _WithoutSharding())


def leave(code: int) -> None:
    """Ends the process with this exit code, or returns where it should end in the ordinary way.

    Python would first take torch's million objects apart one by one, which takes a quarter of a small build's time. What was
    asked to run at exit runs, and what was printed is flushed. A debugger, a profiler or a thread that is still at work keeps
    the ordinary way, as does a process without torch.
    """
    at_work = any(not t.daemon for t in threading.enumerate() if t is not threading.main_thread())
    watched = sys.gettrace() is not None or sys.getprofile() is not None or sys.flags.interactive or sys.flags.inspect
    if "torch" not in sys.modules or at_work or watched:
        return
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # the ordinary way says what is wrong
        return
    os._exit(code)


def silence_stdout() -> None:
    """Nothing more can be said on standard output, not at exit either."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_standard_files() -> None:
    """Gives a process that was started without standard input, output or error (``>&-``) empty ones.

    Otherwise the next file that is opened gets their number, and what a native library prints would go into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


class _WithoutSharding(MetaPathFinder):
    """Says that there is no sharded training while the tracer is being imported, and at no other time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None: other finders look."""
        if fullname == _UNNEEDED and _is_being_imported(_TRACER) and _torch_version().startswith(_KNOWN_VERSIONS):
            raise ModuleNotFoundError(f"{fullname} is not needed here", name=fullname)
        return None


def _is_being_imported(name: str) -> bool:
    return getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False)


def _torch_version() -> str:
    return str(getattr(sys.modules.get("torch"), "__version__", ""))
