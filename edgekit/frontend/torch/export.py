"""``torch.export`` of the user's module, with a batch that may vary wherever the model allows it."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.export import Dim, export
from torch.export.exported_program import ExportedProgram
from torch.utils import _pytree as pytree

from edgekit.frontend.torch.examples import Examples, batch_axis_per_leaf, repeated
from edgekit.frontend.torch.failures import packed_sequences, raised_by_model, told, user_frame
from edgekit.frontend.torch.forward_code import read_forward
from edgekit.frontend.torch.frames import remember_frames
from edgekit.frontend.torch.prepare import traceable
from edgekit.frontend.torch.recurrent_shapes import shapes_only


@dataclass(frozen=True)
class Traced:
    """A traced module.

    Attributes:
        program: the exported program, in inference mode.
        varies: the batch does.
        static: why the batch is fixed, ``""`` where it varies or where there is none.
        assigned: tensor attributes (dotted) that forward assigns and that are no buffers.
    """

    program: ExportedProgram
    varies: bool = False
    static: str = ""
    assigned: tuple[str, ...] = ()


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
    assigned: list[str] = []
    with traceable(module) as model:
        if all(axis is None for axis in axes):
            traced = Traced(_exported(model, module, examples, None, assigned))
        else:
            try:
                traced = Traced(export_module(model, repeated(examples, axes), axes, assigned), varies=True)
            except Exception as refusal:
                program = _exported(model, module, examples, refusal, assigned)
                traced = Traced(program, static=_reason(refusal))
    return replace(traced, assigned=tuple(assigned))


def trace_fixed(module: nn.Module, examples: Examples, reason: str) -> Traced:
    """The same with the batch of the examples.

    Raises:
        Unsupported: the tracer refuses the model.
    """
    assigned: list[str] = []
    with traceable(module) as model:
        program = _exported(model, module, examples, None, assigned)
    return Traced(program, static=reason, assigned=tuple(assigned))


def trace_training(
    module: nn.Module, examples: Examples, batch_axes: Mapping[str, int | None] | None, *, static: bool
) -> ExportedProgram:
    """The same in train mode. Raises whatever the tracer raises: nothing but notes depends on it."""
    axes = batch_axis_per_leaf(examples, batch_axes)
    with traceable(module, training=True) as model:
        is_static = static or all(axis is None for axis in axes)
        return export_module(model, examples if is_static else repeated(examples, axes), None if is_static else axes)


def export_module(
    model: nn.Module, examples: Examples, axes: Sequence[int | None] | None, assigned: list[str] | None = None
) -> ExportedProgram:
    """One call of ``torch.export.export``; with ``axes`` those are the batch. ``assigned`` is filled (see ``Traced``)."""
    shapes = None if axes is None else _dynamic_shapes(model, examples, axes)
    with quiet() as said, remember_frames(), shapes_only():
        program = export(model, examples.args, examples.kwargs, dynamic_shapes=shapes, strict=False)
    if assigned is not None:
        assigned[:] = said
    return program


def _exported(
    model: nn.Module, module: nn.Module, examples: Examples, refusal: Exception | None, assigned: list[str]
) -> ExportedProgram:
    """The program with a fixed batch; where that fails too, the error says whether the model or the tracer is at fault."""
    try:
        return export_module(model, examples, None, assigned)
    except Exception as error:
        name = type(module).__name__
        try:
            with torch.no_grad():
                model(*pytree.tree_map(_copy, examples.args), **pytree.tree_map(_copy, examples.kwargs))
        except Exception as own:
            raise raised_by_model(own, name) from own
        if read_forward(module).names & {"pack_padded_sequence", "pack_sequence", "pad_packed_sequence"}:
            raise packed_sequences(error, name) from error
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
    lines = [line.strip(" -") for line in str(refusal).splitlines() if line.strip()]
    telling = next((line for line in lines if "batch" in line and "specialized" in line), lines[0] if lines else "")
    where = user_frame(refusal)
    telling = telling.partition(". If you're")[0]  # what follows is advice for callers of torch.export
    return f"{telling} ({where})" if where else telling


#: What torch logs about a model that it cannot trace; the same is in the exception.
_LOGGERS = ("torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes", "torch.export._trace", "torch._export")


#: Warnings about models that torch.export exports correctly.
_HARMLESS = (
    "RNN module weights are not part of single contiguous chunk",
    "Using padding='same' with even kernel lengths",  # speaks of a copy that torch makes; the graph pads by itself
)
_ASSIGNED = re.compile(r"The tensor attributes? (.*?) (?:was|were) assigned during export")


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Silences what torch.export is known to say beside its result or its exception.

    Warnings about models that it exports correctly; and, where it fails, its log and the half-made program that it prints. All
    other warnings are given again when it is done. Yields a list that then holds the tensor attributes that forward assigned.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    printed = io.StringIO()
    assigned: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for logger in loggers:
            logger.disabled = True
        try:
            with contextlib.redirect_stderr(printed):
                yield assigned
        finally:
            for logger, was in zip(loggers, before, strict=True):
                logger.disabled = was
    sys.stderr.write(printed.getvalue())  # not reached after an exception
    for warning in caught:
        text = str(warning.message)
        if match := _ASSIGNED.match(text):
            names = (name.strip().removeprefix("self.") for name in match[1].split(","))
            # nn.LSTM and nn.GRU keep their weights in a list beside the parameters.
            assigned += [name for name in names if "_flat_weights[" not in name]
        elif not text.startswith(_HARMLESS):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
