"""``ek.compare``: the same inputs through two forms of a model, and how far apart their outputs and layers are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.comparison.result import Comparison, LayerRow, OutputError
from edgekit.comparison.sides import Array, Side, open_side
from edgekit.data.sources import calibration_arrays, describe
from edgekit.errors import InputError
from edgekit.metrics import has_scores, max_abs_error, sqnr_db, top1_agreement
from edgekit.runtime.litert import Kernels

if TYPE_CHECKING:
    from torch import nn

    from edgekit.ir.graph import Graph

#: Samples that are made where no data is given.
SAMPLES = 64


def compare(
    a: nn.Module | Graph | str | Path,
    b: nn.Module | Graph | str | Path,
    data: object | None = None,
    *,
    example_inputs: Any = None,
    weights: str | Path | None = None,
    input_shapes: Sequence[str] | None = None,
    samples: int | None = None,
    kernels: Kernels = "default",
    root: str | Path | None = None,
) -> Comparison:
    """Runs both on the same inputs and compares outputs and, between graphs, every value of one name.

    Args:
        a: the reference: a graph, a module, ``package.module:callable``, or a model or artifact file.
        b: what is compared with it. Its inputs and outputs correspond to A's in their order.
        data: inputs, as calibration data is given. Random where None: standard normal floats, bytes for inputs that preprocess
            raw values, zeros and ones for other integers; the same ones every time.
        example_inputs: for a module.
        weights: a checkpoint for a callable.
        input_shapes: for a callable without example inputs, and for dimensions that a file leaves to the caller.
        samples: at most so many; default all of the data, 64 random ones.
        kernels: of LiteRT, for .tflite files.
        root: the folder that callables are imported from.

    Raises:
        InputError: a file or the data is missing, damaged or does not fit, or the two do not correspond.
    """
    options: dict[str, Any] = {"weights": weights, "input_shapes": input_shapes, "example_inputs": example_inputs}
    folder = Path(root) if root is not None else Path.cwd()
    first, second = (open_side(model, kernels=kernels, root=folder, **options) for model in (a, b))
    _check_correspondence(first, second)
    if data is None:
        arrays = _random(first, second, samples or SAMPLES)
    else:
        taker = first if first.takes_raw or not second.takes_raw else second
        arrays = calibration_arrays(data, taker.specs, root=folder, limit=samples)
    given = [_for_side(side, first, second, arrays) for side in (first, second)]
    wanted, got = first.run(given[0]), second.run(given[1])
    outputs = tuple(_output_error(name, x, y) for name, x, y in zip(first.outputs, wanted, got, strict=True))
    return Comparison(
        first.name,
        second.name,
        "random" if data is None else describe(data),
        len(arrays[0]),
        outputs,
        _layers(first, second, given),
    )


def _check_correspondence(a: Side, b: Side) -> None:
    for what, ours, theirs in (("inputs", len(a.specs), len(b.specs)), ("outputs", len(a.outputs), len(b.outputs))):
        if ours != theirs:
            raise InputError(
                f"'{a.name}' has {ours} {what} and '{b.name}' has {theirs}",
                where=f"{a.name}, {b.name}",
                hint="compare forms of one model",
            )
    for x, y in zip(a.specs, b.specs, strict=True):
        if x.shape != y.shape:
            raise InputError(
                f"the input '{x.name}' of '{a.name}' is {list(x.shape)}, '{y.name}' of '{b.name}' is {list(y.shape)}",
                where=f"{a.name}, {b.name}",
                hint="compare forms of one model; a file without edgekit's record of its inputs keeps its own order of axes",
            )


def _random(a: Side, b: Side, count: int) -> list[Array]:
    generator = np.random.default_rng(0)
    out: list[Array] = []
    for x, y in zip(a.specs, b.specs, strict=True):
        if x.raw or y.raw:
            out.append(generator.integers(0, 256, (count, *x.shape), np.uint8))
        elif np.dtype(x.dtype).kind == "f":
            out.append(generator.standard_normal((count, *x.shape)).astype(x.dtype))
        else:
            out.append(generator.integers(0, 2, (count, *x.shape)).astype(x.dtype))
    return out


def _for_side(side: Side, a: Side, b: Side, arrays: list[Array]) -> list[Array]:
    """The arrays in the value range of one side: normalised where only the other preprocesses raw values itself."""
    other = b if side is a else a
    out = []
    for mine, theirs, array in zip(side.specs, other.specs, arrays, strict=True):
        normalize = other.preprocessing.get(theirs.name)
        out.append(array if mine.raw or normalize is None else normalize(array))
    return out


def _output_error(name: str, wanted: Array, got: Array) -> OutputError:
    if wanted.shape != got.shape:
        raise InputError(
            f"the output '{name}' has the shape {list(wanted.shape)} in one and {list(got.shape)} in the other",
            where=f"the output '{name}'",
            hint="compare forms of one model",
        )
    agreement = top1_agreement(wanted, got) if has_scores(wanted.shape) else None
    return OutputError(name, wanted.shape[1:], sqnr_db(wanted, got), max_abs_error(wanted, got), agreement)


def _layers(a: Side, b: Side, given: list[list[Array]]) -> tuple[LayerRow, ...]:
    if a.graph is None or b.graph is None:
        return ()
    if any(x is not y for x, y in zip(*given, strict=True)):
        return ()  # the two take their inputs in different ranges
    from edgekit.ir.types import where_text
    from edgekit.layer_errors import layer_errors
    from edgekit.stages.feeding import batches, fixed_batch, stacking

    graphs = (a.graph, b.graph)
    sizes = {size for graph in graphs if (size := fixed_batch(graph)) is not None}
    places = [[stacking(value, graph) for value in graph.inputs] for graph in graphs]
    if len(sizes) > 1 or places[0] != places[1]:
        return ()  # no batch goes through both
    feeding = a.graph if fixed_batch(a.graph) else b.graph
    producers = {v.name: node for node in b.graph.nodes for v in node.outputs}
    errors = layer_errors(a.graph, b.graph, batches(given[0], feeding))
    return tuple(
        LayerRow(
            name,
            producers[name].op.name,
            where_text(producers[name].where) if producers[name].where else "",
            error.sqnr_db,
            error.max_abs_error,
        )
        for name, error in errors.items()
    )
