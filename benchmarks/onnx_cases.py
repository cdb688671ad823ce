"""ONNX's own conformance cases: of its package's generator, and of the data folders that it brings along."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case import node
from onnx.backend.test.loader import load_model_tests

#: Kinds of recorded models. (``real`` are downloads, and not in the package.)
_FOLDERS = ("simple", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True)
class Case:
    """One case: a model, and for each data set its inputs and the outputs that they must give.

    Attributes:
        name: as ONNX calls it.
        operator: what it is about: the operator that has a node, or of which the model is the expansion.
        model: the ``ModelProto``.
        data: pairs of inputs and outputs; arrays, or lists and None where the model takes sequences and optionals.
        rtol, atol: ONNX's own tolerances.
    """

    name: str
    operator: str
    model: Any
    data: tuple[tuple[list[Any], list[Any]], ...]
    rtol: float
    atol: float


def node_cases(files: Sequence[str] | None = None) -> list[Case]:
    """Cases of single operators, of their expansions into functions, and of training operators.

    Args:
        files: import no more of the generator than these files, such as ``conv``: all of it takes many seconds.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the generator divides by zero on purpose
        made = node.collect_testcases(None) if files is None else _imported(files)
    by_name = {case.name: case for case in made}
    return [
        Case(
            case.name,
            _operator(case, by_name),
            case.model,
            tuple(([_plain(x) for x in given], [_plain(x) for x in wanted]) for given, wanted in case.data_sets),
            case.rtol,
            case.atol,
        )
        for case in made
    ]


def _imported(files: Sequence[str]) -> list[Any]:
    """What the generator's files have made so far, these among them: it makes its cases while it is imported."""
    for file in files:
        importlib.import_module(f"{node.__name__}.{file}")
    return list(node._NodeTestCases)


def _plain(data: Any) -> Any:
    """An array, also of a stored tensor."""
    if isinstance(data, onnx.TensorProto):
        return numpy_helper.to_array(data)
    return np.asarray(data) if isinstance(data, np.generic) else data


def _operator(case: Any, by_name: dict[str, Any]) -> str:
    """The operator of the case that a name with ``_expanded`` belongs to, else of the case itself."""
    whole = by_name.get(case.name.partition("_expanded")[0], case)
    nodes = whole.model.graph.node
    return str(nodes[-1].op_type if len(nodes) > 1 and nodes[0].op_type in ("Constant", "SequenceEmpty") else nodes[0].op_type)


def recorded_cases() -> Iterator[Case]:
    """Models in the package's folders with recorded inputs and outputs."""
    for kind in _FOLDERS:
        for test in load_model_tests(kind=kind):
            folder = Path(test.model_dir)
            model = onnx.load(folder / "model.onnx")
            data = tuple(_data_set(model, each) for each in sorted(folder.glob("test_data_set_*")))
            yield Case(test.name, kind, model, data, test.rtol, test.atol)


def _data_set(model: Any, folder: Path) -> tuple[list[Any], list[Any]]:
    inputs, outputs = (
        [_tensor(path) for path in sorted(folder.glob(f"{side}_*.pb"), key=lambda path: int(path.stem.rpartition("_")[2]))]
        for side in ("input", "output")
    )
    return inputs, outputs


def _tensor(path: Path) -> Any:
    tensor = onnx.TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        return numpy_helper.to_array(tensor)
    except Exception:  # a sequence or an optional
        return None
