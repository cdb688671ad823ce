"""ONNX's own cases pass or are refused in words; none fails. The page in the docs is the record of all of them."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import onnx_conformance as conformance
from benchmarks.onnx_cases import node_cases
from benchmarks.onnx_conformance import Outcome

torch.set_num_threads(1)

#: Operators whose cases are part of every test run, by the file of ONNX's generator that makes them.
SAMPLE = {
    "averagepool": "AveragePool",
    "convtranspose": "ConvTranspose",
    "cumsum": "CumSum",
    "einsum": "Einsum",
    "gemm": "Gemm",
    "groupnormalization": "GroupNormalization",
    "lstm": "LSTM",
    "onehot": "OneHot",
    "pad": "Pad",
    "reducemean": "ReduceMean",
    "slice": "Slice",
    "topk": "TopK",
}


@pytest.fixture(scope="module")
def recorded() -> dict[str, Outcome]:
    return {entry["name"]: Outcome(**entry) for entry in json.loads(conformance.RESULTS.read_text())}


def test_the_record_has_no_failure_and_enough_passes(recorded: dict[str, Outcome]) -> None:
    outcomes = list(recorded.values())
    assert [o.name for o in outcomes if "failed" in (o.onnxruntime, o.litert)] == []
    assert len(outcomes) > 1900
    for runtime in ("onnxruntime", "litert"):
        assert conformance.share(outcomes, runtime) >= 0.75
    assert all(o.why for o in outcomes if "refused" in (o.onnxruntime, o.litert))


def test_the_page_is_that_of_the_record(recorded: dict[str, Outcome]) -> None:
    page = conformance.PAGE.read_text()
    wanted = conformance.page(list(recorded.values()))
    assert [line for line in page.splitlines() if not line.startswith("onnx ")] == [
        line for line in wanted.splitlines() if not line.startswith("onnx ")
    ]


def worse(outcome: Outcome, before: Outcome | None) -> str:
    """What is worse than it was, in words; empty where nothing is. A newer onnx may bring new cases."""
    for runtime in ("onnxruntime", "litert"):
        now, then = getattr(outcome, runtime), getattr(before, runtime, "refused")
        if now == "failed" or (then == "passed" and now != "passed"):
            return f"{outcome.name} {now} in {runtime}, {then} before: {outcome.why}"
    return ""


def test_a_sample_of_the_cases_does_what_the_record_says(recorded: dict[str, Outcome]) -> None:
    cases = [case for case in node_cases(tuple(SAMPLE)) if case.operator in SAMPLE.values()]
    assert {case.operator for case in cases} == set(SAMPLE.values()) and len(cases) > 60
    assert [text for case in cases if (text := worse(conformance.run(case), recorded.get(case.name)))] == []


@pytest.mark.slow
def test_all_cases_do_what_the_record_says(recorded: dict[str, Outcome]) -> None:
    cases = conformance.all_cases()
    outcomes = conformance.run_all(cases, range(len(cases)))
    assert [text for outcome in outcomes if (text := worse(outcome, recorded.get(outcome.name)))] == []
