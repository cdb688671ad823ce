"""Small networks of every family through `edgekit build` to every target.

Equal to the source in float, close in 8 bits, refused by name where the runtime can't.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.metrics import sqnr_db, top1_agreement
from edgekit.report.files import SCHEMA_PATH
from edgekit.target import target_names as all_targets
from tests import trained
from tests.end_to_end.projects import Project

SCHEMA = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))

FLOAT = ("tflite-fp32", "onnx-fp32")
INTEGER = ("tflite-int8", "tflm-int8", "onnx-int8")

SIGNALS = '''
import torch
from torch import nn


class Recurrent(nn.Module):
    """Windows of six body signals, 128 steps: two recurrent layers, the last step classified."""

    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(6, 24, 2, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        return self.head(self.rnn(x.transpose(1, 2))[0][:, -1])


class Transformer(nn.Module):
    """Patches of eight steps by a Conv1d, two encoder layers, mean over time."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv1d(6, 32, 8, stride=8)
        self.position = nn.Parameter(torch.randn(1, 16, 32) * 0.1)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        x = self.patches(x).transpose(1, 2) + self.position
        return self.head(self.encoder(x).mean(1))


def seeded(make, *shape):
    torch.manual_seed(0)
    return make().eval(), (torch.zeros(1, *shape),)


def cnn():
    from tests import trained

    return trained.Cnn(), (torch.zeros(1, 1, 8, 8),)


def mlp():
    from tests import trained

    return trained.Mlp(), (torch.zeros(1, 1, 8, 8),)


def conv1d():
    from tests import trained

    return trained.Conv1d(), (torch.zeros(1, 1, 8, 8),)


def lstm():
    return seeded(lambda: Recurrent(nn.LSTM), 6, 128)


def gru():
    return seeded(lambda: Recurrent(nn.GRU), 6, 128)


def transformer():
    return seeded(Transformer, 6, 128)
'''


@dataclass(frozen=True)
class Case:
    """A network.

    Attributes:
        trained: which of ``tests.trained`` its weights come from; random weights without.
        refused: what of it TFLite Micro lacks.
        floats: tflite-int8 keeps a part of it in float, whose sums no simulation repeats in every bit.
        floor: signal to noise of the logits in 8 bits, in dB.
        smaller: size of the int8 file as a share of the float one, at most.
    """

    trained: str | None = None
    refused: tuple[str, ...] = ()
    floats: bool = False
    floor: float = 30.0
    smaller: float = 0.6


CASES = {
    "cnn": Case("cnn", floor=34.0),
    "mlp": Case("mlp", floor=34.0),
    "conv1d": Case("conv1d", floor=34.0),
    "lstm": Case(floats=True, floor=36.0, smaller=0.5),
    "gru": Case(refused=("'gru'",), floor=40.0, smaller=0.6),
    "transformer": Case(refused=("'layer_norm'", "'gelu'"), floor=28.0, smaller=0.7),
}


def samples(name: str) -> np.ndarray[Any, Any]:
    if CASES[name].trained:
        return trained.digits()[2][:96]
    return np.random.default_rng(5).standard_normal((64, 6, 128)).astype(np.float32)


def project_of(name: str, folder: Path) -> tuple[Project, tuple[str, ...]]:
    """A project with this network, and the arguments that build it."""
    project = Project(folder)
    project.write(SIGNALS)
    arguments: tuple[str, ...] = (f"{project.module}:{name}", "--calibration", "calibration.npz")
    if (source := CASES[name].trained) is not None:
        arguments += ("--weights", project.weights(getattr(trained, source)()))
        project.npz("calibration.npz", x=trained.digits()[0][:96])
    else:
        project.npz("calibration.npz", x=np.random.default_rng(0).standard_normal((48, 6, 128)).astype(np.float32))
    return project, arguments


def source_of(name: str, project: Project) -> nn.Module:
    module, _ = getattr(sys.modules[project.module], name)()
    if (source := CASES[name].trained) is not None:
        module.load_state_dict(getattr(trained, source)().state_dict())
    return module.eval()  # type: ignore[no-any-return]


def target_names() -> tuple[str, ...]:
    """Without those that are made for binary networks alone."""
    return tuple(name for name in all_targets() if not name.endswith(("-binary", "-lce")))


@pytest.mark.parametrize("name", CASES)
def test_a_network_goes_to_every_target_that_has_its_ops(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    project, arguments = project_of(name, tmp_path)
    targets = [argument for target in target_names() for argument in ("--target", target)]
    result = project.build(*arguments, *targets)

    if case.refused:
        what, where, hint = result.parts()
        assert result.code == 4 and what.startswith("tflm-int8: ") and all(op in what for op in case.refused)
        assert f"{project.module}.py:" in where and "tflite-int8" in hint
        assert not (tmp_path / "edgekit-out" / "tflm-int8").exists()
    else:
        assert result.code == 0, result.err
    built = [target for target in target_names() if not (case.refused and target == "tflm-int8")]

    source, x = source_of(name, project), samples(name)
    with torch.no_grad():
        wanted = source(torch.from_numpy(x)).numpy()
    for target in built:
        report = project.report(target)
        SCHEMA.validate(report)
        assert report["status"] == "good" and report["artifact"]["bytes"] == project.artifact(target).stat().st_size
        got = ek.run(project.artifact(target), x)
        assert got.shape == wanted.shape and got.dtype == np.float32
        if target in FLOAT:
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4)
            assert top1_agreement(wanted, got) == 1.0
        elif target in INTEGER:
            (row,) = [row for row in report["verification"] if row["against"] == "source"]
            assert row["sqnr_db"] >= case.floor, (target, row["sqnr_db"])
            assert top1_agreement(wanted, got) >= 0.95
            assert sqnr_db(wanted, got) >= case.floor - 12.0
        elif target.endswith("w4a8"):
            assert sqnr_db(wanted, got) >= 18.0, target
        else:
            assert sqnr_db(wanted, got) >= 34.0, target

    size = {target: project.artifact(target).stat().st_size for target in built}
    assert size["tflite-int8"] <= case.smaller * size["tflite-fp32"]
    assert size["tflite-fp16"] < size["tflite-fp32"] and size["tflite-dynamic"] < size["tflite-fp32"]
    if not case.refused and not case.floats:
        (row,) = [r for r in project.report("tflite-int8")["verification"] if r["against"] == "simulation"]
        assert row["equal_integers"] >= 0.99


def test_artifacts_take_one_array_a_tuple_or_a_dict_in_any_batch(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.head = nn.Linear(8 + 4, 5)

        def forward(self, image: torch.Tensor, facts: torch.Tensor) -> dict[str, torch.Tensor]:
            features = self.conv(image).relu().mean((2, 3))
            return {"scores": self.head(torch.cat([features, facts], 1)), "features": features}

    torch.manual_seed(0)
    model = Two().eval()
    generator = np.random.default_rng(0)
    image, facts = (generator.standard_normal((24, *shape)).astype(np.float32) for shape in ((3, 8, 8), (4,)))
    builds = ek.build(
        model,
        ["tflite-fp32", "onnx-fp32", "tflite-int8", "onnx-int8"],
        example_inputs=(torch.zeros(1, 3, 8, 8), torch.zeros(1, 4)),
        calibration=(image, facts),
        output=tmp_path / "out",
        name="two",
    )
    assert [b.target for b in builds] == ["tflite-fp32", "onnx-fp32", "tflite-int8", "onnx-int8"]
    with torch.no_grad():
        wanted = {k: v.numpy() for k, v in model(torch.from_numpy(image), torch.from_numpy(facts)).items()}
    for build in builds:
        assert build.artifact is not None and build.artifact.stem == "two" and build.error is None
        for batch in (1, 3, 24):
            parts = image[:batch], facts[:batch]
            by_tuple = ek.run(build.artifact, parts)
            by_name = ek.run(build.artifact, {"facts": parts[1], "image": parts[0]})
            assert set(by_tuple) == {"scores", "features"}
            for key, value in by_tuple.items():
                np.testing.assert_array_equal(value, by_name[key])
                assert sqnr_db(wanted[key][:batch], value) >= (100.0 if "fp32" in build.target else 22.0)


def test_one_target_gives_one_build_and_a_graph_will_do(tmp_path: Path) -> None:
    graph = ek.load(trained.cnn(), torch.zeros(1, 1, 8, 8))
    build = ek.build(graph, "tflite-int8", calibration=trained.digits()[0][:64], output=tmp_path / "out")
    assert build.artifact == tmp_path / "out" / "tflite-int8" / f"{graph.name}.tflite" and build.artifact.is_file()
    assert build.report.as_dict() == json.loads((build.artifact.parent / "report.json").read_text())
    got = ek.run(build.artifact, trained.digits()[2])
    labels = trained.digits()[3]
    assert float((got.argmax(1) == labels).mean()) >= 0.94


def test_weights_trained_after_loading_are_built(tmp_path: Path) -> None:
    graph = ek.load(nn.Linear(3, 2), torch.zeros(1, 3))
    module = graph.module()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    build = ek.build(graph, "tflite-fp32", output=tmp_path / "out")
    np.testing.assert_allclose(ek.run(build.artifact, np.ones((1, 3), np.float32)), [[4.0, 4.0]])


def test_the_door_raises_the_first_failure_after_the_others_are_finished(tmp_path: Path) -> None:
    with pytest.raises(ek.UsageError, match="needs calibration data"):
        ek.build(nn.Linear(3, 2), ["tflite-int8", "tflite-fp32"], example_inputs=torch.zeros(1, 3), output=tmp_path / "out")
    assert (tmp_path / "out" / "tflite-fp32" / "Linear.tflite").is_file()


@pytest.mark.parametrize(("name", "another_process"), [("cnn", False), ("transformer", True)])
def test_two_builds_are_byte_for_byte_the_same(
    name: str, another_process: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two folders; for the transformer in two processes with different hash seeds."""
    project, arguments = project_of(name, tmp_path)
    targets = ("tflite-int8", "onnx-int8", "tflite-fp32")
    command = ("build", *arguments, *[a for t in targets for a in ("--target", t)])
    assert project.edgekit(*command).code == 0
    monkeypatch.setenv("PYTHONHASHSEED", "12345")
    again = project.process if another_process else project.edgekit
    result = again(*command, "--output", "again")
    assert result.code == 0, result.err
    for target in targets:
        assert project.artifact(target).read_bytes() == project.artifact(target, "again").read_bytes()


def test_the_users_module_is_left_in_the_mode_that_it_was_in(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 2)).train()
    model[1].eval()  # frozen by hand
    ek.build(model, "tflite-fp32", example_inputs=torch.zeros(1, 1, 8, 8), output=tmp_path / "out")
    assert [part.training for part in model.modules()] == [True, True, False, True, True, True]
