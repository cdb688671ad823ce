"""What the report tells of quantisation: what each layer alone costs, how it was rounded, what was equalised."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.config import QuantizationSettings
from edgekit.report.files import SCHEMA_PATH
from tests import trained
from tests.end_to_end.projects import SMALL, Project

SETTINGS = QuantizationSettings(
    observer="auto", rounding="adaround", rounding_iterations=15, equalize=True, replace_relu6=True, sensitivity=True
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the digits' network with everything that can be asked for."""
    x, _, x_test, y_test = trained.digits()
    graph = ek.load(trained.cnn(), (torch.zeros(2, 1, 8, 8),), name="digits")
    out = tmp_path_factory.mktemp("everything")
    ek.build(graph, calibration=x[:64], evaluate=(x_test[:100], y_test[:100]), output=out, quantization=SETTINGS)
    return out / "tflite-int8"


def test_each_layer_alone_is_as_it_is_when_built_by_hand(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    jsonschema.validate(report, json.loads(SCHEMA_PATH.read_text()))
    found = report["quantization"]["sensitivity"]
    labels = [row["label"] for row in found["layers"]]
    assert {"stem.0", "down.0", "depth.0", "point.0", "head"} <= set(labels)
    assert found["metric_samples"] == 100 and found["metrics"]["top1"] > 0.9
    whole = next(row for row in report["verification"] if row["against"] == "source")["sqnr_db"]
    assert all(row["sqnr_db"] > whole - 1 for row in found["layers"])  # one layer alone is better than all
    assert all(abs(row["metrics"]["top1"] - found["metrics"]["top1"]) < 0.05 for row in found["layers"])


def test_alone_graphs_quantise_one_layer_and_nothing_else() -> None:
    from edgekit.alone_errors import alone_errors, alone_graphs
    from edgekit.metrics import sqnr_db
    from tests.compress.quantize.prepared import prepared, quantized

    x = torch.from_numpy(trained.digits()[0][:64])
    before = prepared(ek.load(trained.cnn(), (torch.zeros(2, 1, 8, 8),)))
    after, _ = quantized(before, batches=[[x]])
    by_name = alone_errors(before, after, [x], [before.outputs[0].name], effort=10**12)
    with torch.no_grad():
        wanted = before.module().eval().run([x])[0].numpy()
        for node, graph in alone_graphs(before, after, [x]):
            quantised = [v for v in graph.values() if v.quant is not None]
            for value in quantised:
                assert value.producer is not None or value.is_constant
                owner = value.producer if value.producer is not None else value.users[0]
                assert owner.name == node.name and len(value.users if value.is_constant else [0]) == 1
            got = graph.module().eval().run([x])[0].numpy()
            assert sqnr_db(wanted, got) == pytest.approx(by_name[node.name], abs=0.01)


def test_observers_rounding_and_equalisation_are_told(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    info = report["quantization"]
    assert info["observer"] == "auto" and sum(info["observers"].values()) > 5
    assert {row["weight"] for row in info["rounding"]} >= {"stem.0.weight", "head.weight"}
    assert [(pair["first"], pair["second"]) for pair in info["equalized"]] == [("stem.0", "down.0")]
    assert "'add' joins its output with others" in info["not_equalized"].values()
    assert info["not_equalized"]["down.0"] == "its output is read in 2 places, as beside a shortcut"
    assert not any("relu6 became relu" in line for line in report["warnings"])  # there is none that it would help
    page = (folder / "report.html").read_text()
    for words in ("when this layer alone is quantised", "Not equalised", "Rounding learned", "Signal to noise at the output"):
        assert words in page


def test_it_is_asked_for_on_the_command_line_and_shown_there(project: Project) -> None:
    reference = project.model(SMALL)
    project.npz("test.npz", x=np.random.default_rng(0).random((20, 1, 8, 8), np.float32), y=np.zeros(20, np.int64))
    done = project.build(
        reference, "--calibration", "calibration.npz", "--evaluate", "test.npz", "--target", "tflite-int8", "--sensitivity"
    )
    assert done.code == 0 and "this layer alone" in done.out and "top1" in done.out
    plain = project.build(reference, "--calibration", "calibration.npz", "--target", "tflite-int8")
    assert plain.code == 0 and "this layer alone" not in plain.out
