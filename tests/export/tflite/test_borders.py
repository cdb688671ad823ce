"""Inputs and outputs of a file: layout, names, integers, and the record that lets anybody feed it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.errors import UsageError
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import DEFAULT_SIGNATURE, TfliteOptions
from edgekit.formats.io_metadata import IO_KEY, Preprocessing
from edgekit.formats.tflite.model import Tensor
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.frontend.source import load
from edgekit.ir import Graph, N, QuantParams, ops
from edgekit.ir import TensorType as Type
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.litert import LiteRT
from edgekit.target import Target
from tests.export.onnx.one_op import one_op, randn, reference, samples
from tests.export.tflite.running import assert_close, run


class Net(nn.Module):
    """An image and a vector in; a map, a class and a nested pair out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 + 2, 5)

    def forward(self, image: torch.Tensor, extra: torch.Tensor) -> dict[str, object]:
        y = self.conv(image).relu()
        return {"map": y, "rest": (self.head(torch.cat([y.mean((2, 3)), extra], 1)), [extra * 2, None])}


def graph_of(module: nn.Module, *inputs: torch.Tensor) -> Graph:
    return run_passes(load(module.eval(), inputs), EXACT)[0]


@pytest.fixture(scope="module")
def net() -> Graph:
    torch.manual_seed(0)
    return graph_of(Net(), torch.randn(1, 3, 6, 8), torch.randn(1, 2))


def inputs_of(file: bytes) -> list[Tensor]:
    main = read(file).main
    return [main.tensors[i] for i in main.inputs]


def outputs_of(file: bytes) -> list[Tensor]:
    main = read(file).main
    return [main.tensors[i] for i in main.outputs]


def test_images_and_what_comes_from_convolutions_are_channels_last(net: Graph) -> None:
    file = export(net)
    assert [t.shape for t in inputs_of(file)] == [(1, 6, 8, 3), (1, 2)]
    assert [t.shape for t in outputs_of(file)] == [(1, 6, 8, 4), (1, 5), (1, 2)]


def test_the_user_decides_otherwise_for_all_or_for_one(net: Graph) -> None:
    everything = export(net, TfliteOptions(layout="source"))
    assert [t.shape for t in (*inputs_of(everything), *outputs_of(everything))][:3] == [(1, 3, 6, 8), (1, 2), (1, 4, 6, 8)]
    name = net.outputs[0].name
    one = export(net, TfliteOptions(layouts={name: "source"}))
    assert [t.shape for t in (*inputs_of(one), *outputs_of(one))][:3] == [(1, 6, 8, 3), (1, 2), (1, 4, 6, 8)]
    for file in (everything, one):
        given = samples(net, 3)
        assert_close(run(Artifact(file), given), reference(net, given), 1e-5)


def test_a_layout_for_what_does_not_exist_or_has_no_channels_is_a_usage_error(net: Graph) -> None:
    with pytest.raises(UsageError, match="'picture'") as caught:
        export(net, TfliteOptions(layouts={"picture": "source"}))
    assert "image" in str(caught.value.hint)
    with pytest.raises(UsageError, match="'extra' has 2 dimensions"):
        export(net, TfliteOptions(layouts={"extra": "channels_last"}))


def test_an_artifact_needs_nothing_but_the_file(net: Graph) -> None:
    file = export(net)
    image, extra = samples(net, 5)
    got = Artifact(file).run({"image": image.numpy(), "extra": extra.numpy()})
    want = net.module()(image, extra)
    np.testing.assert_allclose(got["map"], want["map"].detach().numpy(), atol=1e-5)
    logits, pair = got["rest"]
    np.testing.assert_allclose(logits, want["rest"][0].detach().numpy(), atol=1e-5)
    assert isinstance(pair, list) and pair[1] is None
    np.testing.assert_allclose(pair[0], 2 * extra.numpy())


def test_the_signature_has_the_sources_names(net: Graph) -> None:
    (signature,) = read(export(net)).signatures
    assert signature.key == DEFAULT_SIGNATURE
    assert list(signature.inputs) == ["image", "extra"]
    assert list(signature.outputs) == [value.name for value in net.outputs]
    assert [t.name for t in LiteRT(export(net)).inputs] == ["image", "extra"]
    assert read(export(net, TfliteOptions(signature="classify"))).signatures[0].key == "classify"


def test_only_inputs_and_outputs_have_names_unless_all_are_asked_for(net: Graph) -> None:
    named = [t.name for t in read(export(net)).main.tensors if t.name]
    assert len(named) == 5
    everything = [t.name for t in read(export(net, TfliteOptions(all_names=True))).main.tensors if t.name]
    assert len(everything) > 5
    assert len(export(net, TfliteOptions(all_names=True))) > len(export(net))


def test_declared_preprocessing_is_in_the_record(net: Graph) -> None:
    given = Preprocessing(255.0, (0.5,), (0.25,), "NHWC")
    file = export(net, TfliteOptions(preprocessing={"image": given}))
    record = json.loads(read(file).metadata[IO_KEY])
    assert record["inputs"][0]["preprocessing"] == {"scale": 255.0, "mean": [0.5], "std": [0.25], "layout": "NHWC"}
    assert Artifact(file).record.inputs[0].preprocessing == given


def test_signals_are_channels_last_and_sequences_are_not() -> None:
    signal = one_op(ops.Conv1d(), "float32[N,4,16]", randn(5, 4, 3))
    assert inputs_of(export(signal))[0].shape == (1, 16, 4)
    assert outputs_of(export(signal))[0].shape == (1, 14, 5)
    sequence = one_op(ops.Linear(), "float32[N,16,4]", randn(5, 4))
    assert inputs_of(export(sequence))[0].shape == (1, 16, 4)


def test_an_input_that_passes_neutral_ops_on_its_way_to_a_convolution_is_an_image() -> None:
    graph = Graph()
    x = graph.add_input("x", Type(torch.float32, (N, 3, 6, 8)))
    scaled = graph.add(ops.Div(), graph.add(ops.Sub(), x, graph.constant(randn(3, 1, 1))), graph.constant(torch.tensor(255.0)))
    graph.outputs = [graph.add(ops.Conv2d(), scaled, graph.constant(randn(4, 3, 3, 3)))]
    assert inputs_of(export(graph))[0].shape == (1, 6, 8, 3)


def test_states_that_are_stacked_along_another_axis_are_fed_sample_by_sample() -> None:
    graph = one_op(ops.Gru(6), "float32[N,7,5]", "float32[1,N,6]", *(randn(*s) * 0.4 for s in ((18, 5), (18, 6), (18,), (18,))))
    file = export(graph)
    record = json.loads(read(file).metadata[IO_KEY])
    assert record["inputs"][1] == {"batch": 1}
    given = samples(graph, 4)
    assert_close(run(Artifact(file), given), reference(graph, given), 1e-5)


@pytest.mark.parametrize(("dtype", "zero"), [("int8", -5), ("uint8", 123)])
def test_integer_inputs_and_outputs_carry_their_scale(dtype: str, zero: int) -> None:
    graph = Graph()
    x = graph.add_input("x", Type(torch.float32, (N, 4)))
    inner = QuantParams("int8", (0.1,), (-5,))
    x.quant = QuantParams(dtype, (0.1,), (zero,))
    value = graph.add(ops.Identity(), x) if dtype == "uint8" else x
    value.quant = inner
    y = graph.add(ops.Relu(), value)
    y.quant = inner
    if dtype == "uint8":
        y = graph.add(ops.Identity(), y)
        y.quant = x.quant
    graph.outputs = [y]
    file = export(graph)
    kind = TensorType.UINT8 if dtype == "uint8" else TensorType.INT8
    for tensor in (*inputs_of(file), *outputs_of(file)):
        assert tensor.type == kind
        assert tensor.quantization is not None
        assert (tensor.quantization.scale.tolist(), tensor.quantization.zero_point.tolist()) == ([np.float32(0.1)], [zero])
    data = np.linspace(-11, 11, 12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_allclose(Artifact(file).run(data), np.clip(data, 0, 13.2), atol=0.051)


def test_float_inputs_and_outputs_of_an_integer_file_are_quantised_inside() -> None:
    graph = Graph()
    x = graph.add_input("x", Type(torch.float32, (N, 4)))
    quant = QuantParams("int8", (0.1,), (0,))
    inside = graph.add(ops.Identity(), x)
    inside.quant = quant
    result = graph.add(ops.Relu(), inside)
    result.quant = quant
    graph.outputs = [graph.add(ops.Identity(), result)]
    assert read(export(graph)).op_counts() == {"DEQUANTIZE": 1, "QUANTIZE": 1, "RELU": 1}


def test_a_target_implies_the_options() -> None:
    assert TfliteOptions.for_target(Target.load("tflite-fp16")).float16
    assert TfliteOptions.for_target(Target.load("tflm-int8")).micro
    assert TfliteOptions.for_target(Target.load("tflite-int8"), batch=2) == TfliteOptions(batch=2)
