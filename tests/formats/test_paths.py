"""Each path through a file with early exits as a file of its own, and the rates that files carry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.bench.budget import Verdict, check_instructions
from edgekit.bench.exits import exit_costs
from edgekit.bench.output.words import exits_line, paths_line
from edgekit.bench.qemu.counting import Count
from edgekit.errors import InputError
from edgekit.export.onnx.convert import export as export_onnx
from edgekit.export.tflite.exporter import export
from edgekit.formats.exit_rates import ExitRates
from edgekit.formats.onnx import paths as of_onnx
from edgekit.formats.tflite import paths as of_tflite
from edgekit.ir import Graph
from edgekit.ir.history import StepRecord
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.exits_taken import exits_taken
from edgekit.target import Budget, Device
from tests.exits import exit_logits, network, samples

COUNT = Count(9, 9, (9,), "cortex-a53", "litert", True, "", paths=(2, 5, 9), rates=(0.5, 0.4, 0.1))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return network()


def test_a_forced_file_gives_one_exits_answers_for_every_sample(graph: Graph) -> None:
    x = samples(20)
    for export_as, forced in ((export, of_tflite.forced_paths), (export_onnx, of_onnx.forced_paths)):
        files = forced(export_as(graph))
        assert len(files) == 3
        for index, file in enumerate(files):
            with torch.no_grad():
                want = exit_logits(graph, index).module().eval()(x).numpy()
            assert np.abs(Artifact(file).run(x.numpy()) - want).max() < 1e-4


def test_files_without_exits_have_one_path(graph: Graph) -> None:
    flat = exit_logits(graph, 2)
    assert of_tflite.forced_paths(export(flat)) == [] == of_onnx.forced_paths(export_onnx(flat))


def test_files_carry_the_rates_of_the_step(graph: Graph) -> None:
    given = graph.copy()
    rows = [{"rate": 0.5}, {"rate": 0.3}, {"rate": 0.2}]
    given.history = (StepRecord("early_exit", details={"held_out": {"exits": rows, "samples": 40}}),)
    for found in (of_tflite.rates_of(export(given)), of_onnx.rates_of(export_onnx(given))):
        assert found == ExitRates((0.5, 0.3, 0.2), 40, "held_out")
    assert of_tflite.rates_of(export(graph)) is None is of_onnx.rates_of(export_onnx(graph))
    assert ExitRates.decode(b"[1]") is None is ExitRates.decode("{}")


def test_a_file_tells_which_exit_answered_each_sample_in_its_runtime(graph: Graph) -> None:
    x = samples(60)
    with torch.no_grad():
        exits = [exit_logits(graph, index).module().eval()(x) for index in range(3)]
        answer = graph.module().eval()(x)
    want = [next(i for i in range(3) if torch.equal(exits[i][row], answer[row])) for row in range(60)]
    assert set(want) == {0, 1, 2}
    for content in (export(graph), export_onnx(graph)):
        found = exits_taken(content, x.numpy())
        assert found is not None and found.exits == 3 and found.places.tolist() == want
        assert np.abs(np.concatenate([row[0] for row in found.answers]) - answer.numpy()).max() < 1e-4
    assert exits_taken(export(exit_logits(graph, 2)), x.numpy()) is None


def test_what_samples_cost_is_by_the_exits_that_they_take(graph: Graph, tmp_path: Path) -> None:
    x, labels = samples(40), np.zeros(40, np.int64)
    (tmp_path / "net.tflite").write_bytes(export(graph))
    np.savez(tmp_path / "samples.npz", x=x.numpy(), y=labels)  # channels first, as the network takes them
    taken = exits_taken(export(graph), x.numpy())
    assert taken is not None
    rows = [(None, 90.0, 5.0)[place] for place in taken.places]
    costs = exit_costs(tmp_path / "net.tflite", tmp_path / "samples.npz", "default", [rows, rows])
    assert costs is not None and costs.samples == 40 and costs.rates == taken.rates and costs.us == (None, 90.0, 5.0)
    assert costs.mean_us is None and costs.worst_us == 5.0, "nothing is made up for an exit that was not timed"
    assert costs.top1 == pytest.approx(np.mean([row[0].argmax() == 0 for row in taken.answers]))
    timed = replace(costs, rates=(0.5, 0.3, 0.2), us=(1.0, 2.0, 4.0))
    assert timed.mean_us == pytest.approx(1.9) and timed.p90_us == 4.0
    assert "mean 1.90 us, 90th percentile 4.00 us, worst 4.00 us" in exits_line("net", timed)
    none = exit_costs(tmp_path / "net.tflite", None, "default")
    assert none is not None and "--input" in exits_line("net", none)
    np.savez(tmp_path / "other.npz", x=np.zeros((4, 7), np.float32))
    with pytest.raises(InputError, match="wants shape"):
        exit_costs(tmp_path / "net.tflite", tmp_path / "other.npz", "default")


def _device(budget: Budget) -> Device:
    return replace(Device.load("pi-zero2w"), budget=budget)


def test_budgets_name_the_worst_case_or_the_mean(tmp_path: object) -> None:
    path = tmp_path / "net.tflite"  # type: ignore[operator]
    device = _device(Budget(instructions=8, mean_instructions=4))
    given = replace(COUNT, cpu=str(device.hardware.qemu_cpu))
    worst, mean = check_instructions(path, device, given)
    assert (worst.name, worst.value, worst.verdict) == ("instructions", 9, Verdict.FAIL)
    assert mean.name == "mean_instructions" and mean.value == pytest.approx(3.9) and mean.verdict is Verdict.PASS
    (silent,) = check_instructions(path, _device(Budget(mean_instructions=4)), replace(given, rates=()))
    assert silent.verdict is Verdict.NOT_MEASURABLE and "how many samples" in silent.reason


def test_mean_and_percentile_follow_the_rates() -> None:
    assert COUNT.mean == pytest.approx(3.9) and COUNT.p90 == 5
    assert replace(COUNT, rates=()).mean is None is replace(COUNT, rates=()).p90
    assert "2 / 5 / 9" in paths_line("net", COUNT) and "mean 4" in paths_line("net", COUNT)
