"""A .tflite file as a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.formats.tflite.model import Model, Tensor
from edgekit.formats.tflite.read import read
from edgekit.frontend.input_shapes import parsed_shapes
from edgekit.frontend.samples_apart import keeps_samples_apart
from edgekit.frontend.tflite.batch import may_have_batch, says_batch
from edgekit.frontend.tflite.numbered_outputs import with_numbered_outputs
from edgekit.frontend.tflite.source_file import source_of
from edgekit.frontend.tflite.translate import Translator
from edgekit.ir import Graph
from edgekit.tables import did_you_mean

#: Why a model has no batch, whatever a file for a single sample looks like.
_OF_NO_SAMPLE = "an output belongs to no sample"
_OF_ALL_SAMPLES = "samples that run together change each other's outputs"


def of_the_batch(error: EdgekitError) -> str:
    """Why a model has no batch, where a file for several samples was refused because of that; else nothing."""
    return error.what if error.what in (_OF_NO_SAMPLE, _OF_ALL_SAMPLES) else ""


def graph_of_file(
    path: Path,
    *,
    name: str | None = None,
    input_shapes: Mapping[str, Any] | Sequence[str] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
) -> Graph:
    """The graph of a .tflite file.

    Inputs and outputs keep the file's order of axes (NHWC for images), everything between is channels-first. Weights are
    trainable parameters, named after the layers. Quantised tensors carry their parameters as ``Value.quant``.

    Args:
        path: the file.
        name: the graph's name; the file's stem by default.
        input_shapes: shapes of inputs whose dimensions the file leaves open, as ``edgekit.load`` takes them.
        batch_axes: None for an input without batch.

    Raises:
        InputError: no such file, or one that is damaged.
        Unsupported: operators that have no form in the graph, all in one error.
    """
    return graph_of_content(_content(path), path, name=name, input_shapes=input_shapes, batch_axes=batch_axes)


def graph_of_content(
    content: bytes,
    path: Path,
    *,
    name: str | None = None,
    input_shapes: Mapping[str, Any] | Sequence[str] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
    samples: int = 1,
    together: str = "",
    outputs: Sequence[str] = (),
) -> Graph:
    """`graph_of_file` of bytes that came from ``path``.

    A file that was made for several ``samples`` shows where its batch goes, which one for a single sample hides among its
    dimensions of size 1. It must have a graph with a batch. ``together`` says why the model has none, where that is known
    (`of_the_batch`): a file for one sample does not show that samples would depend on each other. ``outputs`` names several
    outputs in the order that TensorFlow numbered them in, which its converter does not keep.

    Raises:
        Unsupported: a file for several samples has no graph with a batch.
    """
    model = with_numbered_outputs(read(content, where=path), outputs)
    if not model.main.operators or not model.main.outputs:
        raise InputError("this TensorFlow Lite file computes nothing", where=path, hint="convert or download it again")
    names = _input_names(model)
    fixed = _fixed(names, batch_axes)
    shapes = _shapes(model, names, input_shapes, path)
    graph, reason = None, together
    if not together and may_have_batch(model, frozenset(index for index, n in names.items() if n in fixed), samples):
        graph, reason = _batched(model, path, shapes, fixed, samples)
    if graph is None and samples > 1:
        raise Unsupported(reason or "an input without batch", where=path, hint="convert it for one sample")
    if graph is None:
        graph = Translator(model, path, batched=False, shapes=shapes, fixed=fixed).run()
        if reason:
            graph.notes.append(f"the batch stays that of the file: {reason}")
    graph.name = name or path.stem
    graph.source = source_of(model, graph, samples)
    return graph


def _batched(
    model: Model, path: Path, shapes: Mapping[str, tuple[int, ...]], fixed: frozenset[str], samples: int
) -> tuple[Graph | None, str]:
    """The graph with a batch, or why it has none."""
    try:
        graph = Translator(model, path, batched=True, shapes=shapes, fixed=fixed, samples=samples).run()
    except EdgekitError as error:
        return None, error.what
    if not all(value.type.has_batch for value in graph.outputs):
        return None, _OF_NO_SAMPLE
    if not keeps_samples_apart(graph, otherwise=says_batch(model)):
        return None, _OF_ALL_SAMPLES
    return graph, ""


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"'{path}' can't be read: {error.strerror or error}", where=path, hint="a .tflite file that may be read"
        ) from error


def _input_names(model: Model) -> dict[int, str]:
    """Tensor index -> name of an input, as the translator names them."""
    graph = Translator(model, Path("names"), batched=False, shapes={})
    return graph.input_names()


def _fixed(names: Mapping[int, str], batch_axes: Mapping[str, int | None] | None) -> frozenset[str]:
    """Names of inputs without batch."""
    found = set()
    for name, axis in (batch_axes or {}).items():
        if name not in names.values():
            raise InputError(
                f"the file has no input '{name}'", where="batch_axes", hint=did_you_mean(name, list(names.values()))
            )
        if axis not in (0, None):
            raise Unsupported(
                f"batch axis {axis} of a .tflite input", where=f"batch_axes of '{name}'", hint="0, or None for no batch"
            )
        if axis is None:
            found.add(name)
    return frozenset(found)


def _shapes(
    model: Model, names: Mapping[int, str], given: Mapping[str, Any] | Sequence[str] | None, path: Path
) -> dict[str, tuple[int, ...]]:
    """The shapes that fill in what the file leaves open.

    Raises:
        InputError: an open dimension without a shape, or a shape that contradicts the file.
    """
    wanted: dict[str, tuple[int, ...]] = {}
    left = list(names.values())
    for label, shape, _ in parsed_shapes(given or {}):
        label = label or (left[0] if left else "")
        if label not in names.values():
            raise InputError(f"the file has no input '{label}'", where=path, hint=did_you_mean(label, list(names.values())))
        left = [name for name in left if name != label]
        wanted[label] = shape
    out: dict[str, tuple[int, ...]] = {}
    for index, label in names.items():
        tensor = model.main.tensors[index]
        is_open = _open(tensor)
        if label in wanted:
            shape = wanted[label]
            fits = len(shape) == len(tensor.shape) and all(
                a == b or axis == 0 or is_open[axis] for axis, (a, b) in enumerate(zip(shape, tensor.shape, strict=True))
            )
            if not fits:
                raise InputError(
                    f"the file's input '{label}' is {list(tensor.shape)}, not {list(shape)}",
                    where=path,
                    hint="a file's shapes are fixed: leave --input-shape away",
                )
            if any(is_open[1:]):
                out[label] = (tensor.shape[0], *shape[1:])
        elif any(is_open[1:]):
            text = ",".join("?" if axis and is_open[axis] else str(size) for axis, size in enumerate(tensor.shape))
            raise InputError(
                f"the file leaves dimensions of its input '{label}' open: {list(tensor.shape_signature)}",
                where=path,
                hint=f"say them: --input-shape {label}={text} with numbers for '?'",
            )
    return out


def _open(tensor: Tensor) -> list[bool]:
    """Which dimensions the file leaves open."""
    if len(tensor.shape_signature) != len(tensor.shape):
        return [False] * len(tensor.shape)
    return [size < 0 for size in tensor.shape_signature]
