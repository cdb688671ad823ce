"""Trained networks keep their accuracy in 8 bits, in the simulation and in the runtimes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.quantize.policy import LITERT, ONNXRUNTIME, TFLM, Policy
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.export.onnx import export as export_onnx
from edgekit.export.tflite.exporter import export as export_tflite
from edgekit.export.tflite.options import TfliteOptions
from edgekit.ir import Graph, QuantParams, simulate
from edgekit.metrics import sqnr_db, top1_agreement
from edgekit.runtime.artifact import Artifact
from edgekit.stages.verify import with_logits
from edgekit.target import Target
from tests import trained
from tests.compress.quantize.prepared import assert_invariant, prepared

NETWORKS: dict[str, Callable[[], nn.Module]] = {"cnn": trained.cnn, "mlp": trained.mlp, "conv1d": trained.conv1d}

#: Signal to noise of the logits that 8 bits must reach on these networks, in dB, with some room to what is measured.
FLOORS = {"cnn": 35.0, "mlp": 38.0, "conv1d": 36.0}


@cache
def graph_of(name: str) -> Graph:
    return prepared(ek.load(NETWORKS[name](), torch.zeros(1, 1, 8, 8)))


def calibration() -> list[list[torch.Tensor]]:
    return [list(part) for part in zip(torch.from_numpy(trained.digits()[0][:128]).split(32), strict=True)]


def test_data() -> np.ndarray:
    return trained.digits()[2]


test_data.__test__ = False  # type: ignore[attr-defined]


@cache
def quantized(name: str, observer: str = "output_error", policy: Policy = LITERT) -> Graph:
    after, _ = quantize(graph_of(name), calibration(), policy=policy, options=PostTraining(observer))
    assert_invariant(after)
    return after


@cache
def wanted(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The float network's outputs and logits on the test set."""
    x = torch.from_numpy(test_data())
    with torch.no_grad():
        outputs = graph_of(name).module().eval()(x)
        logits = with_logits(graph_of(name)).module().eval().run([x])[0]
    return outputs.numpy(), logits.numpy()


def simulated_logits(graph: Graph) -> np.ndarray:
    return simulate(with_logits(graph), torch.from_numpy(test_data())).numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_eight_bits_are_close_to_the_float_network(name: str) -> None:
    outputs, logits = wanted(name)
    graph = quantized(name)
    assert sqnr_db(logits, simulated_logits(graph)) >= FLOORS[name]
    got = simulate(graph, torch.from_numpy(test_data())).numpy()
    assert top1_agreement(outputs, got) >= 0.985
    labels = trained.digits()[3]
    assert abs(float((got.argmax(1) == labels).mean() - (outputs.argmax(1) == labels).mean())) <= 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_the_default_observer_is_not_far_behind_any_other(name: str) -> None:
    _, logits = wanted(name)
    figures = {
        o: sqnr_db(logits, simulated_logits(quantized(name, o))) for o in ("output_error", "min_max", "mse", "percentile")
    }
    assert figures["output_error"] >= max(figures.values()) - 1.5, figures


@pytest.mark.parametrize("name", NETWORKS)
def test_litert_gives_the_simulated_integers(name: str) -> None:
    graph = quantized(name)
    x = test_data()[:64]
    file = export_tflite(graph, TfliteOptions.for_target(Target.load("tflite-int8")))
    reference = np.asarray(Artifact(file, kernels="reference").run(x))
    default = np.asarray(Artifact(file).run(x))
    expected = simulate(graph, torch.from_numpy(x)).numpy()
    quant = graph.outputs[0].quant
    assert quant is not None
    steps = np.abs(np.rint((reference - expected) / quant.scale[0]))
    assert (steps == 0).mean() >= 0.99 and steps.max() <= 2
    assert sqnr_db(expected, default) >= 30.0


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_is_as_close(name: str) -> None:
    outputs, _ = wanted(name)
    graph, _ = quantize(graph_of(name), calibration(), policy=ONNXRUNTIME, integer_io=False)
    got = np.asarray(Artifact(export_onnx(graph)).run(test_data()))
    assert top1_agreement(outputs, got) >= 0.985
    assert sqnr_db(outputs, got) >= 25.0


def test_per_tensor_linear_layers_cost_little() -> None:
    outputs, _ = wanted("mlp")
    got = simulate(quantized("mlp", policy=TFLM), torch.from_numpy(test_data())).numpy()
    assert top1_agreement(outputs, got) >= 0.98


def test_one_calibration_sample_is_enough_to_get_through() -> None:
    graph, _ = quantize(graph_of("cnn"), [[torch.from_numpy(trained.digits()[0][:1])]])
    assert_invariant(graph)
    assert sqnr_db(wanted("cnn")[1], simulated_logits(graph)) > 10.0


def test_the_same_data_gives_the_same_graph() -> None:
    again, _ = quantize(graph_of("cnn"), calibration())
    assert again.text() == quantized("cnn").text()
    for a, b in zip(again.constants(), quantized("cnn").constants(), strict=True):
        assert torch.equal(a.tensor, b.tensor)


def test_batches_of_another_size_change_next_to_nothing() -> None:
    whole = [[torch.cat([batch[0] for batch in calibration()])]]
    again, _ = quantize(graph_of("conv1d"), whole, options=PostTraining("min_max"))
    first, _ = quantize(graph_of("conv1d"), calibration(), options=PostTraining("min_max"))
    assert [v.quant for v in again.values() if not v.is_constant] == [v.quant for v in first.values() if not v.is_constant]


def test_known_parameters_of_an_input_are_kept() -> None:
    known = QuantParams("int8", (1 / 255,), (-128,))
    graph, _ = quantize(graph_of("cnn"), calibration(), input_params={"x": known})
    assert graph.inputs[0].quant == known


def test_float_inputs_and_outputs_are_possible() -> None:
    graph, _ = quantize(graph_of("cnn"), calibration(), integer_io=False)
    assert_invariant(graph, integer_io=False)
    assert sqnr_db(wanted("cnn")[1], simulated_logits(graph)) >= FLOORS["cnn"]


def test_a_static_batch_is_calibrated_sample_by_sample() -> None:
    model = trained.cnn()
    graph = prepared(ek.load(model, torch.zeros(1, 1, 8, 8), batch_axes={"x": None}))
    assert not graph.inputs[0].type.has_batch
    samples = [[torch.from_numpy(x[None])] for x in trained.digits()[0][:48]]
    after, _ = quantize(graph, samples)
    x = torch.from_numpy(test_data()[:64])
    got = np.concatenate([simulate(with_logits(after), sample[None]).numpy() for sample in x])
    assert sqnr_db(wanted("cnn")[1][:64], got) >= FLOORS["cnn"] - 3
