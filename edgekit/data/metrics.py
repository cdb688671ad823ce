"""The user's metric of a prediction function: top-1 and macro-F1, MAE and RMSE, or whatever the user's callable computes.

Formulas: macro-F1 is the mean over the classes that occur in the labels of 2 tp / (2 tp + fp + fn); RMSE is the root of the
mean squared error over all elements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from edgekit.config import is_reference
from edgekit.data.check import InputSpec
from edgekit.data.sources import describe, evaluation_arrays
from edgekit.errors import InputError
from edgekit.reference import call, load_reference

if TYPE_CHECKING:
    import numpy as np

#: From stacked inputs in the model's order to the first output, stacked.
Predict = Callable[[Sequence["np.ndarray"]], "np.ndarray"]


@dataclass(frozen=True)
class Labelled:
    """Labelled data that has been read, for several measures.

    Attributes:
        inputs: stacked samples of every input, in the user's layout.
        labels: one a sample.
        where: how the data is called in errors.
    """

    inputs: Sequence[np.ndarray]
    labels: np.ndarray
    where: str


def read_once(evaluate: object, inputs: Sequence[InputSpec], *, root: Path | None = None) -> object:
    """What :func:`measure` takes, ready to be used several times: labelled data is read, a callable is left as it is.

    Raises:
        InputError: the data does not fit.
    """
    folder = root or Path.cwd()
    target = load_reference(evaluate, folder) if isinstance(evaluate, str) and is_reference(evaluate) else evaluate
    if isinstance(target, Labelled) or _is_function(target):
        return evaluate
    arrays, labels = evaluation_arrays(target, inputs, root=folder)
    return Labelled(arrays, labels, describe(evaluate))


def measure(
    predict: Predict,
    evaluate: object,
    inputs: Sequence[InputSpec],
    *,
    user_predict: Callable[..., object] | None = None,
    root: Path | None = None,
) -> dict[str, float]:
    """The metrics of a prediction function.

    Args:
        predict: gives the first output for stacked inputs.
        evaluate: inputs and labels as :func:`edgekit.data.evaluation_arrays` takes them or :func:`read_once` gives them, or a
            callable (or its ``package.module:callable``) that takes a prediction function and returns ``{metric: value}``.
        inputs: what the model takes.
        user_predict: what a user's callable is given: takes one array, a tuple or a dict, and gives the source's output
            structure. Default: ``predict`` for a single array.
        root: folder that callables are imported from.

    Raises:
        InputError: the data does not fit, or the user's callable raises or returns something else.
    """
    folder = root or Path.cwd()
    target = load_reference(evaluate, folder) if isinstance(evaluate, str) and is_reference(evaluate) else evaluate
    if isinstance(target, Labelled):
        return score(predict(target.inputs), target.labels, where=target.where)
    if _is_function(target):
        scored = call(target, user_predict or (lambda x: predict([x])), what=f"'{describe(evaluate)}'", root=folder)
        return _as_metrics(scored, describe(evaluate))
    arrays, labels = evaluation_arrays(target, inputs, root=folder)
    return score(predict(arrays), labels, where=describe(evaluate))


def _is_function(target: object) -> TypeGuard[Callable[..., object]]:
    return callable(target) and not hasattr(target, "__array__")


def score(outputs: np.ndarray, labels: np.ndarray, *, where: str = "the labels") -> dict[str, float]:
    """``top1`` and ``macro_f1`` for integer labels, ``mae`` and ``rmse`` for float ones.

    Args:
        outputs: (samples, classes) for integer labels, anything of the labels' shape for float ones.
        labels: one a sample.
        where: how the labels are called in errors.

    Raises:
        InputError: the outputs do not fit the labels.
    """
    import numpy as np

    if labels.dtype.kind == "f":
        if outputs.shape != labels.shape and outputs.size == labels.size:
            outputs = outputs.reshape(labels.shape)  # (samples, 1) against (samples,)
        if outputs.shape != labels.shape:
            raise InputError(
                f"outputs of shape {outputs.shape} and float labels of shape {labels.shape}",
                where=where,
                hint="labels of the outputs' shape, or a callable predict -> {metric: value}",
            )
        difference = outputs.astype(np.float64) - labels
        return {"mae": float(np.abs(difference).mean()), "rmse": float(np.sqrt((difference**2).mean()))}
    return _classification(outputs, labels.astype(np.int64), where)


def _classification(outputs: np.ndarray, labels: np.ndarray, where: str) -> dict[str, float]:
    import numpy as np

    given, labels = labels.shape, labels.reshape(len(labels), -1)
    if labels.shape[1] != 1 or outputs.ndim != 2 or outputs.shape[1] < 2:
        raise InputError(
            f"outputs of shape {outputs.shape} and integer labels of shape {given} are no classification",
            where=where,
            hint="outputs (samples, classes) and one class a sample; anything else: a callable predict -> {metric: value}",
        )
    truth, predicted = labels[:, 0], outputs.argmax(axis=1)
    if truth.min() < 0 or truth.max() >= outputs.shape[1]:
        raise InputError(
            f"labels from {truth.min()} to {truth.max()} for {outputs.shape[1]} classes",
            where=where,
            hint="labels are the classes' indices, from 0",
        )
    f1 = []
    for label in np.unique(truth):
        hits = np.sum((truth == label) & (predicted == label))
        f1.append(2 * hits / (np.sum(truth == label) + np.sum(predicted == label)))
    return {"top1": float((truth == predicted).mean()), "macro_f1": float(np.mean(f1))}


def _as_metrics(value: object, where: str) -> dict[str, float]:
    if isinstance(value, Mapping) and value:
        try:
            return {str(name): float(number) for name, number in value.items()}
        except (TypeError, ValueError):
            pass
    shown = type(value).__name__ if not isinstance(value, Mapping) else dict(value)
    raise InputError(
        f"the evaluation returned {shown}, not {{metric: number}}", where=where, hint="return for example {'top1': 0.93}"
    )
