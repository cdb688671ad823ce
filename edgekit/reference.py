"""``package.module:callable``: the user's own code, imported from the user's folder, its failures told in the user's terms."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from edgekit.errors import EdgekitError, InputError
from edgekit.tables import did_you_mean

_TRACEBACK = "`edgekit --debug ...` (or EDGEKIT_DEBUG=1) shows the whole traceback"

_Item = TypeVar("_Item")

_OWN_FOLDER = str(Path(__file__).parent)


@contextmanager
def on_sys_path(root: Path) -> Iterator[None]:
    """The folder is first on sys.path inside the block, as it is for ``python script.py``; a late import finds it too."""
    entry = str(root)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def load_reference(text: str, root: Path) -> Any:
    """The object that ``package.module:callable`` names.

    Args:
        text: a reference (:func:`edgekit.config.is_reference`).
        root: the folder that modules are looked for in first.

    Raises:
        InputError: there is no such module or name, or importing the module raises.
    """
    module_name, _, attribute = text.partition(":")
    with on_sys_path(root):
        module = _import(module_name, text, root)
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            known = [known for known in vars(found) if not known.startswith("_")]
            raise InputError(f"'{module_name}' has no '{name}'", where=_file_of(module), hint=did_you_mean(name, known))
        found = getattr(found, name)
    return found


def call(function: Callable[..., Any], *arguments: Any, what: str, root: Path) -> Any:
    """Call the user's function; whatever it raises becomes an InputError with the innermost frame of the user's own code.

    ``what`` is how the call is named in the error, for example ``'net:build'``; ``root`` is on sys.path while it runs.
    """
    try:
        with on_sys_path(root):
            return function(*arguments)
    except EdgekitError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{what} raised {_named(error)}", where=user_frame(error) or what, hint=_TRACEBACK) from error


def guarded(values: Iterable[_Item], what: str) -> Iterator[_Item]:
    """What the user's iterable yields; whatever it raises becomes an InputError with the innermost frame of the user's code.

    ``what`` is how the iterable is named in the error, for example ``the training data``.
    """
    try:
        iterator = iter(values)
    except Exception as error:
        raise _data_error(what, error) from error
    while True:
        try:
            value = next(iterator)
        except StopIteration:
            return
        except EdgekitError:
            raise
        except Exception as error:
            raise _data_error(what, error) from error
        yield value


def _data_error(what: str, error: Exception) -> InputError:
    hint = "samples of one shape and type, each with what the model takes; `edgekit --debug ...` shows the whole traceback"
    return InputError(f"{what} raised {_named(error)}", where=user_frame(error) or what, hint=hint)


def user_frame(error: BaseException) -> str | None:
    """``file:line, in function`` of the innermost frame that is neither edgekit's nor an installed package's."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    for frame in reversed(frames):
        is_installed = "site-packages" in frame.filename or frame.filename.startswith((sys.base_prefix, "<"))
        if not is_installed and not frame.filename.startswith(_OWN_FOLDER):
            return f"{frame.filename}:{frame.lineno}, in {frame.name}"
    return None


def _import(module_name: str, text: str, root: Path) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # The module itself or one of its parents: the reference is wrong. Anything else is missing inside the user's code.
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            nearby = [path.stem for path in root.glob("*.py")] + [path.parent.name for path in root.glob("*/__init__.py")]
            hint = did_you_mean(module_name, nearby) if nearby else "MODEL is package.module:callable"
            raise InputError(f"no module '{module_name}' (from '{text}')", where=root, hint=hint) from None
        raise InputError(
            f"importing '{module_name}' needs the module '{error.name}', which is not installed",
            where=user_frame(error),
            hint=f"install it for {sys.executable}",
        ) from error
    except EdgekitError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"importing '{module_name}' raised {_named(error)}",
            where=user_frame(error) or text,
            hint=_TRACEBACK,
        ) from error


def _named(error: BaseException) -> str:
    """Its class and its message."""
    return f"{type(error).__name__}: {error}"


def _file_of(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or module.__name__
