"""Everything that may stand for data: a file, arrays, batches, a DataLoader, or a callable that returns one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from edgekit.config import is_reference
from edgekit.data.check import InputSpec, as_array, checked
from edgekit.data.npz import Purpose, read_npz
from edgekit.errors import InputError
from edgekit.reference import call, load_reference

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Data:
    """What a recipe may use, each an .npz path, arrays, an iterable of batches, a DataLoader or ``package.module:callable``.

    Attributes:
        train: inputs and labels to fine-tune with.
        calibration: inputs whose ranges quantisation takes.
        evaluate: inputs and labels that accuracy is measured on, or a callable ``predict -> {metric: value}``.
    """

    train: object | None = None
    calibration: object | None = None
    evaluate: object | None = None


def calibration_arrays(
    source: object, inputs: Sequence[InputSpec], *, root: Path | None = None, limit: int | None = None
) -> list[np.ndarray]:
    """Stacked samples for every input, in the order and type of ``inputs``, each of shape ``(samples, *spec.shape)``.

    Args:
        source: an .npz path, ``package.module:callable``, an array (one input), a tuple or dict of arrays, or an iterable of
            batches, of which (x, y) gives x.
        inputs: what the model takes.
        root: folder that a callable is imported from (default: the current one).
        limit: at most so many samples; needed for an endless iterable.

    Raises:
        InputError: missing, empty, wrong shape or type, NaN, or inputs of different numbers of samples.
    """
    arrays, _ = _arrays(source, inputs, "calibration", root or Path.cwd(), limit)
    return arrays


def evaluation_arrays(
    source: object, inputs: Sequence[InputSpec], *, root: Path | None = None, limit: int | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Stacked samples for every input as :func:`calibration_arrays` gives them, and the labels, one a sample.

    Raises:
        InputError: as there, or no labels, or not one label a sample.
    """
    arrays, labels = _arrays(source, inputs, "evaluation", root or Path.cwd(), limit)
    where = describe(source)
    if labels is None:
        raise InputError("no labels to evaluate with", where=where, hint="an array 'y' in the .npz, or batches of (x, y)")
    _check_labels(labels, len(arrays[0]), where)
    return arrays, labels


def training_arrays(
    source: object, inputs: Sequence[InputSpec], *, root: Path | None = None, limit: int | None = None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Stacked samples for every input as :func:`calibration_arrays` gives them, and the labels, or None where there are none.

    Raises:
        InputError: as :func:`evaluation_arrays` raises it, but labels may be missing.
    """
    arrays, labels = _arrays(source, inputs, "training", root or Path.cwd(), limit)
    if labels is not None:
        _check_labels(labels, len(arrays[0]), describe(source))
    return arrays, labels


@overload
def repeatable(data: Data) -> Data: ...


@overload
def repeatable(data: object) -> object: ...


def repeatable(data: object) -> object:
    """The same data, where iterators, which can be read once, are lists of their batches: for what reads it several times.

    Args:
        data: a ``Data``, or what may stand for one part of it.
    """
    if isinstance(data, Data):
        return replace(data, train=repeatable(data.train), evaluate=repeatable(data.evaluate))
    return list(data) if isinstance(data, Iterator) else data


def describe(source: object) -> str:
    """How a source is called in errors and reports: its path or reference, else its type."""
    return str(source) if isinstance(source, str | Path) else f"{type(source).__name__} given as data"


def _check_labels(labels: np.ndarray, samples: int, where: str) -> None:
    """InputError for labels that are not one a sample, or not finite."""
    import numpy as np

    if labels.ndim == 0 or len(labels) != samples:
        count = 0 if labels.ndim == 0 else len(labels)
        raise InputError(f"{samples} samples and {count} labels", where=where, hint="one label a sample")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError("the labels have NaN or infinity in them", where=where, hint="leave such samples out")


def _arrays(
    source: object, inputs: Sequence[InputSpec], purpose: Purpose, root: Path, limit: int | None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    where = describe(source)
    if isinstance(source, str) and is_reference(source):
        value = load_reference(source, root)
        source = call(value, what=f"'{source}'", root=root) if callable(value) else value
    if isinstance(source, str | Path):
        raw, labels = read_npz(root / source, [spec.name for spec in inputs], purpose)
    elif isinstance(source, Mapping | tuple) or hasattr(source, "__array__"):
        raw, labels = _split(source, inputs, where)
    elif isinstance(source, Iterable):
        raw, labels = _stack(source, inputs, where, limit)
    else:
        raise InputError(
            f"cannot take data from a '{type(source).__name__}'",
            where=where,
            hint="an array, a tuple or dict of arrays, batches or an .npz",
        )
    arrays = [checked(array[:limit], spec, where) for array, spec in zip(raw, inputs, strict=True)]
    counts = {spec.name: len(array) for array, spec in zip(arrays, inputs, strict=True)}
    if len(set(counts.values())) > 1:
        raise InputError(
            f"inputs of different numbers of samples: {counts}", where=where, hint="as many samples of every input"
        )
    return arrays, None if labels is None else labels[:limit]


def _split(value: object, inputs: Sequence[InputSpec], where: str) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Inputs and labels of one batch: an array, a dict by name, or a tuple of the inputs, with the labels behind them."""
    labels: object | None = None
    if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], Mapping | tuple | list):
        value, labels = value  # ((a, b), y) and ({...}, y)
    elif isinstance(value, tuple | list) and len(value) == len(inputs) + 1:
        value, labels = value[:-1], value[-1]
    if isinstance(value, Mapping):
        missing = [spec.name for spec in inputs if spec.name not in value]
        if missing:
            raise InputError(
                f"no data for input '{missing[0]}'", where=where, hint=f"the keys are {', '.join(map(str, value))}"
            )
        labels = value.get("y") if labels is None and "y" not in {spec.name for spec in inputs} else labels
        value = tuple(value[spec.name] for spec in inputs)
    if not isinstance(value, tuple | list):
        value = (value,)
    if len(value) != len(inputs):
        names = ", ".join(spec.name for spec in inputs)
        raise InputError(
            f"{len(value)} arrays for {len(inputs)} inputs ({names})", where=where, hint="one array an input, in this order"
        )
    return [as_array(item, where) for item in value], None if labels is None else as_array(labels, where)


def _stack(
    batches: Iterable[Any], inputs: Sequence[InputSpec], where: str, limit: int | None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """All batches one behind the other, until there are enough samples."""
    import numpy as np

    columns: list[list[np.ndarray]] = [[] for _ in inputs]
    labels: list[np.ndarray] = []
    count = 0
    for index, batch in enumerate(batches):
        arrays, batch_labels = _split(batch, inputs, f"{where}, batch {index}")
        for column, array, spec in zip(columns, arrays, inputs, strict=True):
            if array.ndim == 0 or array.shape[1:] != spec.shape:
                checked(array, spec, f"{where}, batch {index}")  # raises with what is wrong
            column.append(array)
        if batch_labels is not None:
            labels.append(np.atleast_1d(batch_labels))
        count += len(arrays[0])
        if limit is not None and count >= limit:
            break
    if count == 0:
        raise InputError(
            "the data is empty: it yields no sample", where=where, hint="an iterator that was used up yields nothing more"
        )
    if labels and len(labels) != len(columns[0]):
        raise InputError("some batches have labels and some have none", where=where, hint="yield (x, y) always, or x always")
    return [np.concatenate(column) for column in columns], np.concatenate(labels) if labels else None
