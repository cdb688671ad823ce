"""Training in integers: what it learns, and that the artifact's integers are those that were trained."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.compress.qat import application
from edgekit.compress.qat.step import QAT
from edgekit.compress.steps import parse_steps
from edgekit.ir import Graph, ops, simulate
from edgekit.ir.integer.interpreter import Simulator
from edgekit.runtime.artifact import Artifact
from tests.train.networks import blobs, same
from tests.train.networks import digits as tiny
from tests.trained import cnn, digits, mlp

torch.set_num_threads(1)
TRAINING = ek.Training(optimizer="sgd", lr=0.02, batch_size=32, validation=0.0)
TINY = ek.Training(optimizer="sgd", lr=0.01, batch_size=32, validation=0.0)


@cache
def source() -> Graph:
    return ek.load(cnn(), (torch.zeros(1, 1, 8, 8),))


@cache
def trained(weights: str) -> Graph:
    x, y, x_test, y_test = digits()
    data = ek.Data(train=(x[:640], y[:640]), evaluate=(x_test, y_test))
    step = ek.QAT(weights=weights, epochs=3, training=TRAINING, distillation=ek.Distillation())
    return ek.Recipe([step]).apply(source(), data)


@pytest.mark.parametrize(("weights", "before", "after"), [("int8", 0.95, 0.95), ("int4", 0.9, 0.94), ("int2", 0.0, 0.93)])
def test_training_gives_back_what_rounding_takes(weights: str, before: float, after: float) -> None:
    record = trained(weights).history[-1]
    start, (_, end) = record.details["start"]["top1"], record.metrics["top1"]
    assert start >= before and end >= after
    if weights == "int2":
        assert start < 0.85 and end > start + 0.1
    assert [len(record.details[part]["epochs"]) for part in ("learning", "frozen")] == [2, 1]
    assert record.step == "qat" and record.options["weights" if weights != "int8" else "epochs"] in (weights, 3)


def test_the_record_tells_types_and_scales_before_and_after() -> None:
    details = trained("int4").history[-1].details
    assert details["weights"] == {
        **dict.fromkeys(("stem.0.weight", "depth.0.weight", "head.weight"), "int8"),
        **dict.fromkeys(("down.0.weight", "point.0.weight"), "int4"),
    }
    learned, fixed = details["scales"]["down.0.weight"], details["scales"]["head.weight"]
    assert learned["dtype"] == "int4" and learned["before"] != learned["after"]
    assert fixed["dtype"] == "int8" and fixed["before"] == fixed["after"]
    activation = details["scales"]["relu"]
    assert activation["zero_point"] == -128 and activation["before"] != activation["after"]


@pytest.mark.parametrize("weights", ["int8", "int4", "int2"])
def test_what_is_absorbed_computes_what_was_trained_in_every_bit(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Graph] = []
    absorb = application.absorb

    def spy(graph: Graph) -> Graph:
        seen.append(graph)
        return absorb(graph)

    monkeypatch.setattr(application, "absorb", spy)
    x, y, x_test, _ = digits()
    step = ek.QAT(weights=weights, epochs=2, freeze=0.5, training=TRAINING)
    result = step.apply(source(), ek.Data(train=(x[:320], y[:320])))
    student, images = seen[-1], torch.from_numpy(x_test)
    with torch.no_grad():
        assert torch.equal(student.module().eval()(images), result.module().eval()(images))
    for node in student.nodes:
        if isinstance(node.op, ops.FakeQuantize) and node.input(0).is_constant and node.op.dtype != "int32":
            value = result.value(node.input(0).name)
            scale = node.input(1).tensor.detach().reshape([-1] + [1] * (value.type.rank - 1))
            by_hand = (node.input(0).tensor.detach() / scale).round().clamp(node.op.least, node.op.most)
            assert value.quant is not None and value.quant.dtype == node.op.dtype
            kept = Simulator(result)._constants[id(value), True]
            assert torch.equal(kept.float(), by_hand)
            assert int(by_hand.unique().numel()) <= {"int8": 255, "int4": 15, "int2": 4}[node.op.dtype]


@pytest.mark.parametrize("weights", ["int8", "int4", "int2"])
def test_reference_kernels_run_the_file_bit_for_bit_as_the_simulation_and_it_holds_the_trained_integers(
    weights: str, tmp_path: Path
) -> None:
    graph, (_, _, x, y) = trained(weights), digits()
    built = ek.build(graph, "tflite-int8", output=tmp_path, name="net", calibration=x[:8])
    content = built.artifact.read_bytes()
    got = Artifact(content, kernels="reference").run(x)
    with torch.no_grad():
        module = graph.module().eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(got, simulate(graph, torch.from_numpy(x)).numpy())
    assert np.mean(got.argmax(1) == module.argmax(1)) >= 0.99
    assert abs(np.mean(got.argmax(1) == y) - graph.history[-1].metrics["top1"][1]) <= 0.005
    held = {array.size: array for array in weights_of(built.artifact)}
    for name in ("down.0.weight", "point.0.weight", "head.weight"):
        value = graph.value(name)
        assert value.quant is not None
        scale = torch.tensor(value.quant.scale).reshape([-1] + [1] * (value.type.rank - 1))
        wanted = (value.tensor.detach() / scale).round().movedim(1, -1).reshape(value.type.at(1)[0], -1)
        np.testing.assert_array_equal(held[value.type.numel()].reshape(wanted.shape), wanted.numpy())


def weights_of(path: Path) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Integer constants of a file, as LiteRT reads them."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    interpreter.allocate_tensors()
    found = []
    for tensor in interpreter.get_tensor_details():
        try:
            found.append(interpreter.get_tensor(tensor["index"]))
        except ValueError:  # no data: an activation
            continue
    return [array for array in found if array.ndim > 1 and array.dtype == np.int8]


def test_onnx_runtime_runs_the_trained_integers_too(tmp_path: Path) -> None:
    graph, (_, _, x, _) = trained("int4"), digits()
    built = ek.build(graph, "onnx-int8", output=tmp_path, name="net", calibration=x[:8])
    with torch.no_grad():
        module = graph.module().eval()(torch.from_numpy(x)).numpy()
    assert np.mean(Artifact(built.artifact.read_bytes()).run(x).argmax(1) == module.argmax(1)) >= 0.99


def test_onnx_runtime_loads_4_bit_weights_behind_a_recurrent_layer(tmp_path: Path) -> None:
    """It moves the rounding of what an LSTM gives through a transposition, which must not cost the file."""

    class Signal(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.LSTM(6, 16, batch_first=True, bidirectional=True)
            self.head = torch.nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(x)[0][:, -1])  # type: ignore[no-any-return]

    x = np.random.default_rng(0).standard_normal((16, 9, 6)).astype(np.float32)
    graph = ek.load(Signal().eval(), (torch.zeros(2, 9, 6),))
    data = ek.Data(train=(x, np.zeros(16, np.int64)))
    made = ek.QAT(weights="int4", edges=False, epochs=0).apply(graph, data)
    file = ek.build(made, "onnx-w4a8", calibration=x, output=tmp_path)
    assert file.report.verification[0].sqnr_db > 60


def test_a_killed_training_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    recipe = ek.Recipe([ek.QAT(epochs=4, freeze=0.5, training=TINY, distillation=ek.Distillation())])
    data = ek.Data(train=blobs())
    undisturbed = recipe.apply(tiny(), data)
    for stop in (2, 1):  # in the part that learns norms, and in the one after
        told: list[str] = []

        def killer(line: str, told: list[str] = told, stop: int = stop) -> None:
            told.append(line)
            if len(told) == stop + 1:
                raise Killed

        with pytest.raises(Killed):
            recipe.apply(tiny(), data, folder=tmp_path, say=killer)
    resumed = recipe.apply(tiny(), data, folder=tmp_path)
    assert same(resumed, undisturbed)
    assert [v.quant for v in resumed.values()] == [v.quant for v in undisturbed.values()]


def test_zeros_of_a_sparse_network_are_zeros_of_the_quantised_one() -> None:
    sparse = ek.Sparsify(sparsity=0.7).apply(tiny())
    result = ek.QAT(weights="int4", edges=False, epochs=2, training=TINY).apply(sparse, ek.Data(train=blobs()))
    for name in ("conv.weight", "head.weight"):
        dead = sparse.state[name].tensor == 0
        assert bool((result.state[name].tensor[dead] == 0).all()) and not bool((result.state[name].tensor == 0).all())


def test_a_graph_in_training_and_a_trained_one_survive_a_file(tmp_path: Path) -> None:
    from edgekit.compress.qat.attaching import attach

    graph = trained("int2")
    graph.save(tmp_path / "trained.ekg")
    loaded = ek.load(tmp_path / "trained.ekg")
    x = torch.from_numpy(digits()[2][:50])
    assert torch.equal(loaded.module().eval()(x), graph.module().eval()(x))
    assert [v.quant for v in loaded.values()] == [v.quant for v in graph.values()]
    student = attach(loaded, {}, "max")
    student.save(tmp_path / "student.ekg")
    again = ek.load(tmp_path / "student.ekg")
    assert torch.equal(again.module().eval()(x), student.module().eval()(x))
    with pytest.raises(ek.Unsupported, match="fake_quantize"):
        ek.build(again, "tflite-fp32", output=tmp_path / "out")


def test_probabilities_keep_the_scale_that_their_kernel_demands() -> None:
    x, y, _, _ = digits()
    graph = ek.load(mlp(), (torch.zeros(1, 1, 8, 8),))
    result = ek.QAT(epochs=1, training=TRAINING).apply(graph, ek.Data(train=(x[:320], y[:320])))
    assert result.outputs[0].quant == ek.QuantParams("int8", (1 / 256,), (-128,))


def test_the_source_is_left_as_it_was() -> None:
    graph = source()
    before = {name: value.tensor.detach().clone() for name, value in graph.state.items()}
    text = graph.text()
    trained("int2")
    assert graph.text() == text
    assert all(torch.equal(graph.state[name].tensor, tensor) for name, tensor in before.items())


def test_it_is_written_in_a_recipe() -> None:
    table = {
        "step": "qat",
        "weights": "int4",
        "epochs": 3,
        "layers": {"head": "int2"},
        "training": {"lr": 0.01},
        "distillation": {"temperature": 3.0},
    }
    (step,) = parse_steps([table], None)
    assert isinstance(step, QAT)
    assert step.options() == {**{k: v for k, v in table.items() if k != "step"}, "training": {"lr": 0.01}}
    assert ek.QAT().options() == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": "int3"}, "unknown weights 'int3'"),
        ({"layers": {"head": "int5"}}, "of the weights of 'head'"),
        ({"freeze": 1.5}, "'freeze'"),
        ({"epochs": -1}, "'epochs'"),
        ({"frozen_lr": 0.0}, "'frozen_lr'"),
        ({"calibration": 0}, "'calibration'"),
        ({"runtime": "litrt"}, "unknown runtime"),
    ],
)
def test_fields_that_can_not_be_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ek.UsageError, match=message):
        ek.QAT(**fields)  # type: ignore[arg-type]


def test_the_share_of_frozen_epochs_is_rounded_and_never_nothing() -> None:
    shares = {(5, 0.3): 2, (4, 0.25): 1, (2, 0.1): 1, (1, 0.3): 0, (1, 1.0): 1, (3, 0.0): 0, (3, 1.0): 3, (0, 0.3): 0}
    assert {given: QAT(epochs=given[0], freeze=given[1]).frozen_epochs for given in shares} == shares


def test_what_can_not_be_trained_is_refused() -> None:
    with pytest.raises(ek.Unsupported, match="quantised already"):
        ek.QAT(epochs=1).apply(trained("int2"), ek.Data(train=blobs()))
    with pytest.raises(ek.UsageError, match="needs data"):
        ek.QAT(epochs=1).apply(tiny())
    with pytest.raises(ek.UsageError, match="'heat'"):
        ek.QAT(epochs=0, layers={"heat": "int4"}).apply(tiny(), ek.Data(train=blobs()))
