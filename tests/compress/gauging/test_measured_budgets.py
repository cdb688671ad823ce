"""Budgets of instructions and latency: searched with few measurements, met by what was measured, refused where nothing can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edgekit
from edgekit.bench import qemu
from edgekit.compress.context import Context
from edgekit.compress.gauging import meters
from edgekit.compress.gauging.candidate import CandidateFile
from edgekit.compress.gauging.gauge import Gauge
from edgekit.compress.gauging.meters import Reading, meter
from edgekit.compress.gauging.plain import PlainFile
from edgekit.compress.prune import Prune, gauged
from edgekit.data import Data
from edgekit.errors import DeviceError, OverBudget, UsageError
from edgekit.formats.tflite.describe import describe
from edgekit.ir import Graph
from edgekit.train import Training
from tests.train.networks import blobs, digits, graph_of, same

torch.set_num_threads(1)

TRAINING = Training(batch_size=32, lr=0.01)


class Net(nn.Sequential):
    """Wide enough that a budget has many ways to be met."""

    def __init__(self) -> None:
        convs = (nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 32, 3, padding=1), nn.ReLU())
        super().__init__(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4))


def net() -> Graph:
    torch.manual_seed(0)
    return graph_of(Net(), (1, 1, 8, 8))


class StandIn:
    """A meter that knows the candidates' multiply-accumulates: the files hold nothing else."""

    identity = "stand-in"

    def __init__(self, cost: Any, unstable: tuple[str, ...] = ()) -> None:
        self.cost, self.unstable, self.measured = cost, unstable, 0

    def __call__(self, graph: Graph) -> CandidateFile:
        return CandidateFile(json.dumps([graph.macs]).encode(), ".tflite", "stand-in")

    def read(self, base: Path, candidate: Path) -> Reading:
        self.measured += base != candidate
        whole, value = (self.cost(json.loads(path.read_text())[0]) for path in (base, candidate))
        return Reading(value, value / whole, None, "nothing", self.unstable)


def with_meter(monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> Context:
    monkeypatch.setattr(gauged, "meter", lambda measure, on: stand_in.read)
    return Context(file=stand_in)


LINEAR = {"in line": lambda macs: macs, "with overhead": lambda macs: 150_000 + macs}
STEPPED = {"in steps": lambda macs: 20_000 * -(-macs // 20_000), "bent": lambda macs: macs**0.5}


@pytest.mark.parametrize("shape", [*LINEAR, *STEPPED])
@pytest.mark.parametrize("share", [0.9, 0.7])
def test_the_measured_value_meets_the_budget_and_is_near_it(share: float, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandIn((LINEAR | STEPPED)[shape])
    record = Prune(instructions=share).apply(net(), context=with_meter(monkeypatch, stand_in)).history[-1]
    found = record.details["measured"]
    assert found["after"] == stand_in.cost(record.macs[1]) <= share * found["before"]
    assert any("stand-in file on qemu:cortex-a53 (nothing): " in note for note in record.notes)
    assert found["share"] == found["after"] / found["before"] > share - 0.12  # steps of 20,000 are a tenth of it
    assert stand_in.measured <= 8
    assert [row["macs"] for row in found["candidates"]].count(record.macs[1]) == 1


def test_an_amount_and_milliseconds_are_held_against_the_value_and_a_latency_against_the_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = net()
    context = with_meter(monkeypatch, StandIn(lambda macs: macs / 1e6))
    half = graph.macs / 2e6
    for step in (Prune(latency_ms=half), Prune(latency=0.5)):
        record = step.apply(graph, context=context).history[-1]
        found = record.details["measured"]
        assert found["unit"] == "ms" and found["on"] == "local"
        assert 0.4 < found["share"] <= 0.5
        assert f"{found['share']:.1%} of the network before, timed in turn" in record.notes[0]
    many = Prune(instructions=half * 1e6 + 5).apply(graph, context=with_meter(monkeypatch, StandIn(lambda macs: macs)))
    assert many.macs <= half * 1e6 + 5


def test_a_network_within_the_budget_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandIn(lambda macs: macs)
    small = Prune(instructions=1.0).apply(net(), context=with_meter(monkeypatch, stand_in))
    assert small.macs == net().macs and stand_in.measured <= 1  # the smallest, which says what can be met


def test_a_budget_that_no_pruning_meets_is_refused_with_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    context = with_meter(monkeypatch, StandIn(lambda macs: 1_000_000 + macs))
    with pytest.raises(OverBudget, match=r"bring the instructions to 50%: .* 1,001,156 instructions, 68\.7%, were"):
        Prune(instructions=0.5).apply(net(), context=context)


def test_rounds_are_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    context = with_meter(monkeypatch, StandIn(lambda macs: 1_000_000 + macs))
    monkeypatch.setattr("edgekit.compress.prune.rounds.tune", lambda *_: pytest.fail("trained"))
    with pytest.raises(OverBudget):
        Prune(instructions=0.5, rounds=2, epochs=1).apply(net(), Data(train=blobs()), context=context)


def test_in_rounds_the_last_one_meets_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandIn(lambda macs: 50_000 + macs)
    step = Prune(instructions=0.5, rounds=3, epochs=1, training=TRAINING)
    small = step.apply(net(), Data(train=blobs()), context=with_meter(monkeypatch, stand_in))
    found, rounds = small.history[-1].details["measured"], small.history[-1].details["rounds"]
    assert found["after"] == 50_000 + small.macs <= 0.5 * found["before"]
    macs = [row["macs"] for row in rounds]
    assert macs == sorted(macs, reverse=True) and len(set(macs)) == 3


def test_a_latency_that_is_not_steady_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    context = with_meter(monkeypatch, StandIn(lambda macs: macs, ("the interval is +-9.0%",)))
    record = Prune(latency=0.5).apply(net(), context=context).history[-1]
    assert any("not to be relied on: the interval is +-9.0%" in warning for warning in record.warnings)


def test_a_step_that_was_cut_off_chooses_what_it_chose_although_times_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = iter(np.random.default_rng(0).uniform(0.8, 1.25, 1000))
    stand_in = StandIn(lambda macs: macs * next(noise))
    context = with_meter(monkeypatch, stand_in)
    kept = Context(file=context.file, folder=tmp_path)
    first = Prune(latency=0.5).apply(net(), context=kept)
    before = stand_in.measured
    assert same(Prune(latency=0.5).apply(net(), context=kept), first)
    assert stand_in.measured == before


@pytest.mark.parametrize("what", ["int8", "float32"])
@pytest.mark.parametrize("amount", [0.5, 0.75, 30_000])
def test_bytes_are_those_of_the_file(what: str, amount: float) -> None:
    graph, data = net(), Data(calibration=blobs()[0]) if what == "int8" else None
    size = len(PlainFile(graph, data, None)(graph).content)
    allowed = amount * size if amount <= 1 else amount
    if what == "int8" and amount > 1:
        allowed = amount = size // 2
    small = Prune(bytes=amount).apply(graph, data)
    found = small.history[-1].details["measured"]
    assert len(PlainFile(small, data, None)(small).content) == found["after"] <= allowed
    assert found["after"] > 0.9 * allowed and len(found["candidates"]) <= 8
    assert any(f"bytes of the {what} TFLite file: {size:,} before" in note for note in small.history[-1].notes)


def test_in_a_build_bytes_are_those_of_the_first_targets_artifact(tmp_path: Path) -> None:
    """Whatever the graph's own weights are in: an ONNX file of floats and an int8 one need other networks."""
    x, y = blobs()
    left = []
    for target in ("tflite-int8", "onnx-fp32"):
        whole = edgekit.build(net(), target, calibration=x, output=tmp_path / "whole").artifact.stat().st_size
        built = edgekit.build(
            net(), [target, "tflite-fp32"], calibration=x, recipe=[Prune(bytes=0.6)], train=(x, y), output=tmp_path / "small"
        )[0]
        found = built.report.history[0]["details"]["measured"]
        assert built.artifact.stat().st_size == found["after"] <= 0.6 * whole
        assert found["before"] == whole and target in found["file"]
        left.append(built.report.graph.parameters)
    assert left[0] != left[1]


def test_an_impossible_budget_is_refused_after_one_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandIn(lambda macs: 5 + macs / 1e6)
    with pytest.raises(OverBudget, match=r"latency to 1e-09 ms: with one channel left .* 5.001 ms were measured"):
        Prune(latency_ms=1e-9).apply(net(), context=with_meter(monkeypatch, stand_in))
    assert stand_in.measured == 1


def test_rounds_that_end_at_a_files_bytes_go_there_evenly() -> None:
    step = Prune(bytes=0.5, rounds=3, epochs=1, training=TRAINING)
    small = step.apply(net(), Data(train=blobs()))
    rounds = [row["parameters"] for row in small.history[-1].details["rounds"]]
    assert rounds == sorted(rounds, reverse=True) and len(set(rounds)) == 3
    found = small.history[-1].details["measured"]
    assert found["after"] <= 0.5 * found["before"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"latency": 2.5}, "up to 1"),
        ({"latency_ms": 0.0}, "above 0"),
        ({"macs": 0.5, "on": "local"}, "where a budget is measured"),
        ({"bytes": 0.5, "on": "local"}, "where a budget is measured"),
        ({"instructions": 0.5, "on": "local"}, "instructions can't be measured on 'local'"),
        ({"latency": 0.5, "on": "qemu:cortex-a53"}, "latency can't be measured on 'qemu:cortex-a53'"),
        ({"instructions": 0.5, "macs": 0.5}, "exactly one amount"),
    ],
)
def test_amounts_and_places_that_do_not_go_together_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Prune(**wrong)


def test_an_unknown_core_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no emulated core 'cortex-a54'"):
        meter("instructions", "qemu:cortex-a54")


def test_where_counting_is_not_set_up_the_error_lists_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    with pytest.raises(DeviceError, match=r"counting instructions is not set up here: missing .*libLiteRt\.so") as caught:
        Prune(instructions=0.5).apply(net())
    assert caught.value.hint == "edgekit bench --setup-qemu"


def test_the_plain_file_is_int8_with_data_and_float_without() -> None:
    data = Data(train=blobs(), calibration=blobs()[0])
    for given, dtype, what in ((data, "int8", "int8 TFLite"), (None, "float32", "float32 TFLite")):
        made = PlainFile(digits(), given, None)(digits())
        assert made.what == what
        assert [tensor.dtype for tensor in describe(made.content, "net").inputs] == [dtype]


@pytest.mark.skipif(bool(qemu.missing()), reason="counting instructions is not set up here")
def test_instructions_are_counted_on_the_emulated_core_and_met(tmp_path: Path) -> None:
    data = Data(calibration=blobs()[0])
    small = Prune(instructions=0.6, on="qemu:cortex-a53").apply(net(), data)
    found = small.history[-1].details["measured"]
    assert found["file"] == "int8 TFLite" and found["on"] == "qemu:cortex-a53" and "ai-edge-litert" in found["by"]
    (tmp_path / "small.tflite").write_bytes(PlainFile(small, data, None)(small).content)
    assert qemu.count_instructions(tmp_path / "small.tflite", "cortex-a53") == found["after"]
    assert 0.4 * found["before"] < found["after"] <= 0.6 * found["before"]


def test_a_latency_that_is_far_out_of_reach_is_refused_at_a_glance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters.Latency, "__call__", lambda *_: pytest.fail("timed at length"))
    with pytest.raises(OverBudget, match="were measured"):
        Prune(latency_ms=1e-9, rounds=2, epochs=1).apply(net(), Data(train=blobs()))


@pytest.mark.slow
def test_latency_is_timed_in_turn_with_the_network_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few launches: what is tested is the way through the harness, not the figure."""
    monkeypatch.setattr(meters.Latency, "LAUNCHES", 2)
    monkeypatch.setattr(meters.Latency, "AT_MOST", 2)
    monkeypatch.setattr(meters.Latency, "SECONDS", 0.05)
    with Gauge(net(), PlainFile(net(), None, None), meter("latency", "local")) as gauge:
        assert gauge.before.value > 0 and gauge.before.share == 1.0
        small = gauge(Prune(ratio=0.5).apply(net()))
    assert small.interval is not None and small.interval[0] <= small.value <= small.interval[1]
    assert 0 < small.share < 3 and "litert" in small.by.lower()
