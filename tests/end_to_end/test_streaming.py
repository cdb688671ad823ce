"""A build for frames: what is written, verified and reported."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.report.files import SCHEMA_PATH
from tests.end_to_end.projects import Project
from tests.streaming.networks import CASES, windows

CAUSAL = """
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(3, 8, 5), nn.Conv1d(8, 8, 3, dilation=2)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        y = torch.relu(self.a(nn.functional.pad(x, (4, 0))))
        y = y + torch.relu(self.b(nn.functional.pad(y, (4, 0))))
        return self.head(y.mean(2))
"""
SAME = """
    def __init__(self):
        super().__init__()
        self.a = nn.Conv1d(3, 4, 5, padding=2)

    def forward(self, x):
        return self.a(x)
"""


@pytest.fixture
def causal(project: Project) -> str:
    project.npz("calibration.npz", x=np.random.default_rng(0).standard_normal((16, 3, 20)).astype(np.float32))
    return project.model(CAUSAL, "torch.randn(1, 3, 20)")


@pytest.mark.parametrize(
    ("target", "state"), [("tflite-int8", "io"), ("tflm-int8", "variables"), ("onnx-int8", "io"), ("tflite-fp32", "variables")]
)
def test_a_stream_is_built_compared_with_windows_and_fed_by_the_reports_code(
    target: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["a keyword network"]
    torch.manual_seed(0)
    x = windows(case, 8).numpy()
    built = ek.build(
        case.make().eval(),
        target,
        calibration=x,
        example_inputs=(torch.from_numpy(x[:1]),),
        output=tmp_path,
        name="kws",
        streaming=ek.Streaming(2, state=state),
    )
    (row,) = [row for row in built.report.verification if row.against == "windows"]
    assert row.sqnr_db > 100 and row.passed and row.equal_integers in (None, 1.0)
    info = built.report.streaming
    assert info is not None and (info.hop, info.window, info.kept, info.states) == (2, 25, state, 3)
    assert info.macs_per_call < info.macs_per_window / 10
    jsonschema.validate(json.loads((built.artifact.parent / "report.json").read_text()), json.loads(SCHEMA_PATH.read_text()))
    assert "as on windows" in (built.artifact.parent / "report.html").read_text()
    monkeypatch.chdir(built.artifact.parent)
    module: dict[str, object] = {}
    exec(built.report.io.snippets["python"], module)
    theirs, mine = module["Stream"](), ek.Stream(built.artifact)  # type: ignore[operator]
    for call in range(12):
        frames = x[:1, :, 2 * call : 2 * call + 2]
        given = frames[0].transpose(1, 2, 0) if target.startswith("tf") else frames[0]
        np.testing.assert_allclose(theirs.push(given), mine.push(frames)[0][0], atol=1e-6)


def test_the_command_line_and_edgekit_toml_say_the_same(project: Project, causal: str) -> None:
    options = ("--calibration", "calibration.npz", "--target", "tflite-int8")
    assert project.build(causal, *options, "--streaming", "2", "--hop", "4", "--state", "variables").code == 0
    told = project.report("tflite-int8")
    assert told["streaming"]["hop"] == 4 and told["streaming"]["kept"] == "variables"
    first = project.artifact("tflite-int8").read_bytes()
    project.write(
        f'model = "{causal}"\nname = "{project.artifact("tflite-int8").stem}"\ntargets = ["tflite-int8"]\n'
        'calibration = "calibration.npz"\n[streaming]\ntime = { x = 2 }\nhop = 4\nstate = "variables"\n',
        "edgekit.toml",
    )
    done = project.edgekit("build", "--force")
    assert done.code == 0, done.err
    assert "4 frames a call" in done.out
    assert project.artifact("tflite-int8").read_bytes() == first


def test_what_a_stream_cannot_be_is_said_where_it_is_in_the_model(project: Project, causal: str) -> None:
    same = project.model(SAME, "torch.randn(1, 3, 20)")
    refused = project.build(same, "--target", "tflite-fp32", "--streaming", "2")
    assert refused.code == 4 and "2 frames of the future" in refused.parts()[0] and "look_ahead = 2" in refused.parts()[2]


def test_options_of_a_stream_without_time_are_refused(project: Project, causal: str) -> None:
    for options in (("--hop", "2"), ("--streaming", "x=one"), ("--streaming", "2", "--streaming", "1")):
        refused = project.build(causal, "--target", "tflite-fp32", *options)
        assert refused.code == 2 and "--streaming 2" in refused.parts()[2]
    refused = project.build(causal, "--target", "onnx-fp32", "--streaming", "2", "--state", "variables")
    assert refused.code == 2 and "no variables" in refused.parts()[0]
    wrong = project.build(causal, "--target", "tflite-fp32", "--streaming", "2", "--hop", "3", "--streaming", "y=1")
    assert wrong.code == 2
