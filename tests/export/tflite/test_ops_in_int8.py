"""Every op in integers: LiteRT's default kernels, tflite-runtime 2.14 and TFLite Micro beside LiteRT's reference kernels.

That the reference kernels give the integers of `edgekit.ir.simulate` in every bit is tested with the simulation.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import InputError, Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.ir import ops
from edgekit.runtime.litert import LiteRT
from tests import tflite_runtimes
from tests.ir.integer.test_nodes import CASES, Case, node_of

#: Ops with integer kernels that are not in every runtime, or are wrong in some: the quantiser leaves them in float.
LEFT_IN_FLOAT = (ops.Sum, ops.Log, ops.Exp, ops.Gelu)

Integers = NDArray[np.generic]


def file_of(case: Case, *, micro: bool = False) -> bytes:
    try:
        return export(node_of(case), TfliteOptions(layout="source", micro=micro))
    except Unsupported as error:
        assert error.where and error.hint
        pytest.skip(f"refused: {error.what}")


def loaded(file: bytes) -> LiteRT:
    try:
        return LiteRT(file, "reference")
    except InputError:  # some versions of an operator are registered among the default kernels only
        return LiteRT(file)


def calls_for(model: LiteRT, case: Case) -> list[list[Integers]]:
    rng = np.random.default_rng(0)
    low = -128 if case.positive else -100
    return [[rng.integers(low, 101, t.shape).astype(t.dtype) for t in model.inputs] for _ in range(3)]


def apart(first: list[Integers], second: list[Integers]) -> float:
    return max(float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max()) for a, b in zip(first, second, strict=True))


#: Without a reference kernel: the quantiser keeps it in integers for TFLite Micro, which has one.
WITHOUT_REFERENCE = (ops.Elu,)

CHECKED = [case for case in CASES if not isinstance(case.op, LEFT_IN_FLOAT)]


@pytest.mark.parametrize("case", CHECKED, ids=lambda case: str(case.op))
def test_the_default_kernels_are_near_the_reference_kernels(case: Case) -> None:
    file = file_of(case)
    reference, default = loaded(file), LiteRT(file)
    for call in calls_for(reference, case):
        assert apart(reference.invoke(call), default.invoke(call)) <= (8 if isinstance(case.op, ops.Softmax) else 2)


def test_integer_files_of_all_ops_run_in_tflite_runtime_2_14() -> None:
    jobs, wanted, names = [], [], []
    for case in CHECKED:
        try:
            file = export(node_of(case), TfliteOptions(layout="source"))
        except Unsupported:
            continue
        model = loaded(file)
        calls = calls_for(model, case)
        jobs.append((file, calls))
        wanted.append([model.invoke(call) for call in calls])
        names.append(str(case.op))
    assert len(jobs) > 50
    for name, want, answer in zip(names, wanted, tflite_runtimes.run_many_2_14(jobs), strict=True):
        assert not isinstance(answer, str), f"{name}: {answer}"
        for ours, theirs in zip(want, answer, strict=True):
            assert apart(ours, theirs) <= (8 if name.startswith("softmax") else 2), name


@pytest.mark.parametrize("case", CHECKED, ids=lambda case: str(case.op))
def test_the_reference_kernels_have_every_operator_that_is_written(case: Case) -> None:
    if isinstance(case.op, WITHOUT_REFERENCE):
        pytest.skip("it has none")
    LiteRT(file_of(case), "reference")


@pytest.mark.slow
@pytest.mark.parametrize("case", CHECKED, ids=lambda case: str(case.op))
def test_tflite_micro_gives_the_same_integers(case: Case) -> None:
    file = file_of(case, micro=True)
    reference = loaded(file)
    calls = calls_for(reference, case)
    want = [np.stack(rows) for rows in zip(*(reference.invoke(call) for call in calls), strict=True)]
    got = tflite_runtimes.run_micro(file, calls)
    assert apart(want, [array.reshape(w.shape) for array, w in zip(got, want, strict=True)]) <= 1
