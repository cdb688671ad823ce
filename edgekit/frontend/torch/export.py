"""``torch.export`` of the user's module, with a batch that may vary wherever the model allows it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import Dim, export
from torch.export.exported_program import ExportedProgram
from torch.utils import _pytree as pytree

from edgekit.frontend.torch.examples import Examples, batch_axis_per_leaf, repeated
from edgekit.frontend.torch.failures import raised_by_model, told, user_frame
from edgekit.frontend.torch.prepare import traceable


@dataclass(frozen=True)
class Traced:
    """A traced module.

    Attributes:
        program: the exported program, in inference mode.
        static: why the batch is fixed, ``""`` where it varies.
    """

    program: ExportedProgram
    static: str = ""


def trace(module: nn.Module, examples: Examples, batch_axes: Mapping[str, int | None] | None = None) -> Traced:
    """Traces a module in evaluation mode; the user's module is left as it is.

    Args:
        module: the source.
        examples: arguments of one call.
        batch_axes: parameter name -> batch axis or None; axis 0 for those not named.

    Raises:
        Unsupported: the tracer refuses the model, with a fixed batch too.
        InputError: the model raises on its example, or ``batch_axes`` does not fit.
    """
    axes = batch_axis_per_leaf(examples, batch_axes)
    with traceable(module) as model:
        if all(axis is None for axis in axes):
            return Traced(_exported(model, module, examples, None))
        dynamic = repeated(examples, axes)
        try:
            return Traced(export_module(model, dynamic, axes))
        except Exception as refusal:
            program = _exported(model, module, examples, refusal)
            return Traced(program, _reason(refusal))


def export_module(model: nn.Module, examples: Examples, axes: Sequence[int | None] | None) -> ExportedProgram:
    """One call of ``torch.export.export``; with ``axes`` those are the batch."""
    shapes = None if axes is None else _dynamic_shapes(model, examples, axes)
    with quiet():
        return export(model, examples.args, examples.kwargs, dynamic_shapes=shapes, strict=False)


def _exported(model: nn.Module, module: nn.Module, examples: Examples, refusal: Exception | None) -> ExportedProgram:
    """The program with a fixed batch; where that fails too, the error says whether the model or the tracer is at fault."""
    try:
        return export_module(model, examples, None)
    except Exception as error:
        name = type(module).__name__
        try:
            with torch.no_grad():
                model(*pytree.tree_map(_copy, examples.args), **pytree.tree_map(_copy, examples.kwargs))
        except Exception as own:
            raise raised_by_model(own, name) from own
        raise told(error if refusal is None else refusal, name) from error


def _copy(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


def _dynamic_shapes(model: nn.Module, examples: Examples, axes: Sequence[int | None]) -> dict[str, Any]:
    """The batch as one symbolic dimension, nested as ``forward``'s arguments are."""
    batch = Dim("batch")
    _, spec = pytree.tree_flatten((examples.args, examples.kwargs))
    leaves = [None if axis is None else {axis: batch} for axis in axes]
    args, kwargs = pytree.tree_unflatten(leaves, spec)
    return dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments)


def _reason(refusal: Exception) -> str:
    """Why the batch cannot vary, on one line."""
    text = str(refusal)
    lines = [line.strip(" -") for line in text.splitlines() if line.strip()]
    telling = next((line for line in lines if "batch" in line and "specialized" in line), lines[0] if lines else "")
    where = user_frame(refusal)
    return f"{telling} ({where})" if where else telling


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what torch.export is known to warn about models that it exports correctly."""
    with warnings.catch_warnings():
        # nn.LSTM and nn.GRU keep their weights in a list beside the parameters.
        warnings.filterwarnings("ignore", message=r"The tensor attributes? .*_flat_weights", category=UserWarning)
        warnings.filterwarnings(
            "ignore", message="RNN module weights are not part of single contiguous chunk", category=UserWarning
        )
        yield
