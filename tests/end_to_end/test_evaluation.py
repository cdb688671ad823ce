"""The user's metric, measured on the source, on the graph and on the artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from tests import trained
from tests.end_to_end.projects import SMALL, Project

FLOAT = ("--target", "tflite-fp32")
INT8 = ("--calibration", "calibration.npz", "--target", "tflite-int8")


def test_the_users_metric_is_measured_on_source_graph_and_artifact(project: Project) -> None:
    project.write(
        "import torch\nfrom tests import trained\n\n\ndef build():\n    return trained.Cnn(), (torch.zeros(1, 1, 8, 8),)\n"
    )
    x, _, x_test, y_test = trained.digits()
    project.npz("calibration.npz", x=x[:64])
    project.npz("test.npz", x=x_test, y=y_test)
    weights = project.weights(trained.cnn())
    arguments = (f"{project.module}:build", "--weights", weights, *INT8, "--evaluate", "test.npz")
    result = project.build(*arguments)
    assert result.code == 0, result.err
    rows = {r["metric"]: r for r in project.report("tflite-int8")["evaluation"]}
    assert set(rows) == {"top1", "macro_f1"}
    with_source = float((trained.cnn()(torch.from_numpy(x_test)).argmax(1).numpy() == y_test).mean())
    assert rows["top1"]["source"] == pytest.approx(with_source)
    got = ek.run(project.artifact("tflite-int8"), x_test)
    assert rows["top1"]["artifact"] == pytest.approx(float((got.argmax(1) == y_test).mean()))
    assert abs(rows["top1"]["graph"] - rows["top1"]["artifact"]) < 0.01


def test_a_metric_of_ones_own_is_a_callable(project: Project) -> None:
    reference = project.model(SMALL)
    with (project.folder / f"{project.module}.py").open("a") as file:
        file.write(
            "\n\ndef score(predict):\n    y = predict(torch.ones(6, 1, 8, 8).numpy())\n    return {'largest': float(y.max())}\n"
        )
    assert project.build(reference, *FLOAT, "--evaluate", f"{project.module}:score").code == 0
    (row,) = project.report("tflite-fp32")["evaluation"]
    assert row["metric"] == "largest" and row["source"] == pytest.approx(row["artifact"], abs=1e-4)


def test_a_metric_predicts_as_the_artifact_runs_with_a_tuple_or_a_dict(project: Project) -> None:
    reference = project.model(
        """    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(3, 4)

    def forward(self, left, right):
        y = self.a(left) + self.b(right)
        return {"y": y, "both": (y, y * 2)}""",
        "torch.randn(1, 6), torch.randn(1, 3)",
    )
    with (project.folder / f"{project.module}.py").open("a") as file:
        file.write(
            "\n\ndef score(predict):\n    import numpy as np\n"
            "    left, right = np.ones((5, 6), np.float32), np.ones((5, 3), np.float32)\n"
            "    one, two = predict((left, right)), predict({'right': right, 'left': left})\n"
            "    return {'same': float((one['y'] == two['y']).all()), 'twice': float((one['both'][1] / one['y']).mean())}\n"
            "\n\ndef wrong(predict):\n    return {'y': predict({'left': 1, 'rihgt': 2})}\n"
        )
    assert project.build(reference, *FLOAT, "--evaluate", f"{project.module}:score").code == 0
    rows = {row["metric"]: row for row in project.report("tflite-fp32")["evaluation"]}
    assert [rows["same"][form] for form in ("source", "graph", "artifact")] == [1, 1, 1]
    assert rows["twice"]["artifact"] == pytest.approx(2, abs=1e-5)
    what, _, hint = project.build(reference, *FLOAT, "--evaluate", f"{project.module}:wrong").parts()
    assert what == "predict was given the inputs left, rihgt" and hint == "they are left, right"


def test_evaluation_batches_that_come_only_once_serve_every_target_and_form(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 3))
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    y = module(torch.from_numpy(x)).argmax(1).numpy()
    batches = ((x[i : i + 10], y[i : i + 10]) for i in range(0, 40, 10))
    built = ek.build(
        module, ["tflite-fp32", "onnx-fp32"], example_inputs=torch.zeros(1, 4), evaluate=batches, output=tmp_path / "out"
    )
    for one in built:
        assert [(row.source, row.artifact) for row in one.report.evaluation if row.metric == "top1"] == [(1.0, 1.0)]
        assert one.report.verification[0].samples == 40  # compared on the same inputs: there are no others
