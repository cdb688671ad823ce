"""Exceptions out of ``torch.export`` and out of the user's forward, told in the user's terms."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.frontend.torch.places import shown

_TORCH = str(Path(torch.__file__).parent)
_EDGEKIT = str(Path(__file__).parents[2])


def told(error: BaseException, model: str) -> EdgekitError:
    """The user error for an exception that tracing raised.

    A model that raises on its example by itself is an input error; what only the tracer cannot do is unsupported.

    Args:
        error: what was raised.
        model: the model's name, where no frame of the user's is in the traceback.
    """
    if isinstance(error, EdgekitError):
        return error
    where = user_frame(error) or model
    first = first_line(error)
    kind = type(error).__name__
    if _is_about_values(error):
        return Unsupported(
            f"the model chooses what to compute by the values of a tensor ({kind}: {first})",
            where=where,
            hint="use torch.where instead of `if`, and sizes that do not depend on values",
        )
    return Unsupported(
        f"torch.export cannot trace the model: {kind}: {first}",
        where=where,
        hint=_hint(error) or "run the model on the example inputs first",
    )


def raised_by_model(error: BaseException, model: str) -> InputError:
    """The user error for a model that raises on its own example."""
    return InputError(
        f"the model raised {type(error).__name__}: {first_line(error)}",
        where=user_frame(error) or model,
        hint="check the shapes and types of the example inputs (`--input-shape`)",
    )


def packed_sequences(error: BaseException, model: str) -> Unsupported:
    """The user error for a model that packs sequences of different lengths."""
    return Unsupported(
        "packed sequences have no form in a graph",
        where=user_frame(error) or model,
        hint="leave the batch padded and pass it as one tensor (for one sequence at a time, packing changes nothing)",
    )


def user_frame(error: BaseException) -> str | None:
    """``file:line, in function`` of the innermost frame that is neither torch's nor edgekit's nor the Python library's."""
    frames = traceback.extract_tb(error.__traceback__)
    library = str(Path(traceback.__file__).parent)
    for frame in reversed(frames):
        if "site-packages" in frame.filename or frame.filename.startswith((_TORCH, _EDGEKIT, library, "<")):
            continue
        return f"{shown(frame.filename)}:{frame.lineno}, in {frame.name}"
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else "no message"


def _is_about_values(error: BaseException) -> bool:
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    return isinstance(error, GuardOnDataDependentSymNode) or "data-dependent" in str(error)


def _hint(error: BaseException) -> str | None:
    if "numpy" in str(error):
        return "use torch functions instead of numpy in forward"
    if "not a known type" in str(error):
        return "return tensors in tuples, lists and dicts, or register the class: torch.export.register_dataclass"
    return None
