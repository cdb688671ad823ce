"""One network, several precisions: what each layer is stored in, computed in, and what the runtimes make of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.quantize.policy import LITERT, ONNXRUNTIME, TFLM, Policy
from edgekit.compress.quantize.post_training import quantize
from edgekit.errors import Unsupported, UsageError
from edgekit.export.onnx import export as export_onnx
from edgekit.export.tflite.exporter import export as export_tflite
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.ir import Graph, Simulator, simulate
from edgekit.ir.quantized_data import quantize as quantize_values
from edgekit.metrics import sqnr_db
from edgekit.precision import LayerPrecision, Precision, PrecisionPlan
from edgekit.runtime.artifact import Artifact
from tests import tflite_runtimes
from tests.compress.quantize.prepared import prepared

X = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(0))
W4 = PrecisionPlan(Precision("int4", "int8"))


class Net(nn.Module):
    """A convolution, a pointwise one and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.block = nn.ModuleDict({"conv": nn.Conv2d(16, 24, 1)})
        self.fc = nn.Linear(24, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.block["conv"](x))
        y: torch.Tensor = self.fc(x.mean((2, 3)))
        return y


@pytest.fixture(scope="module")
def graph() -> Graph:
    torch.manual_seed(0)
    return prepared(ek.load(Net().eval(), example_inputs=(X[:1],)))


def made(graph: Graph, plan: PrecisionPlan, policy: Policy = LITERT) -> Graph:
    return quantize(graph, [[X]], policy=policy, plan=plan)[0]


def held(graph: Graph, name: str) -> str:
    quant = graph.state[name].quant
    return "float32" if quant is None else quant.dtype


def test_only_the_named_layer_has_4_bit_weights(graph: Graph) -> None:
    plan = PrecisionPlan(Precision(), {"block": LayerPrecision(weights="int4")})
    out = made(graph, plan)
    assert [held(out, f"{name}.weight") for name in ("first", "block.conv", "fc")] == ["int8", "int4", "int8"]
    quant = out.state["block.conv.weight"].quant
    assert quant is not None and (quant.qmin, quant.qmax, quant.axis) == (-7, 7, 0)


def test_a_float_layer_stands_between_converters(graph: Graph) -> None:
    out, record = quantize(graph, [[X]], plan=PrecisionPlan(Precision(), {"block.conv.weight": LayerPrecision("float32")}))
    assert held(out, "block.conv.weight") == "float32"
    assert [island.reason for island in record.islands] == ["float as asked for"]


def test_16_bit_activations_are_symmetric_with_64_bit_biases(graph: Graph) -> None:
    out = made(graph, PrecisionPlan(Precision("int8", "int16")))
    quants = [v.quant for v in out.values() if v.quant is not None and not v.is_constant]
    assert {q.dtype for q in quants} == {"int16"} and {q.zero_point for q in quants} == {(0,)}
    assert held(out, "fc.bias") == "int64"


def test_16_bit_activations_of_one_layer_are_converted_on_both_sides(graph: Graph) -> None:
    out = made(graph, PrecisionPlan(Precision(), {"block": LayerPrecision(activations="int16")}))
    dtypes = {v.name: v.quant.dtype for v in out.values() if v.quant is not None and not v.is_constant}
    assert sorted(set(dtypes.values())) == ["int16", "int8"]
    assert Artifact(export_tflite(out), kernels="reference").run(X.numpy()).shape == (32, 9)


def test_an_unknown_layer_is_refused(graph: Graph) -> None:
    with pytest.raises(UsageError, match="'blocks'"):
        made(graph, PrecisionPlan(Precision(), {"blocks": LayerPrecision(weights="int4")}))


def test_tflite_micro_has_no_4_bit_weights(graph: Graph) -> None:
    with pytest.raises(Unsupported, match="TFLite Micro has no layers with 4-bit weights"):
        made(graph, W4, TFLM)
    with pytest.raises(Unsupported, match="TFLite Micro computes no convolutions with int4 weights") as caught:
        made(graph, PrecisionPlan(Precision(), {"block": LayerPrecision("int4")}), TFLM)
    assert "block" in str(caught.value.where)


@pytest.mark.slow
@pytest.mark.parametrize(
    "plan",
    [PrecisionPlan(Precision("int8", "int16")), PrecisionPlan(Precision(), {"block": LayerPrecision(activations="int16")})],
    ids=["everywhere", "in one layer"],
)
def test_tflite_micro_computes_16_bit_activations_to_the_step(graph: Graph, plan: PrecisionPlan) -> None:
    out = made(graph, plan, TFLM)
    quant = out.inputs[0].quant
    assert quant is not None
    integers = quantize_values(X[:4], quant)
    calls = [[x[None].permute(0, 2, 3, 1).contiguous().numpy()] for x in integers]
    theirs = tflite_runtimes.run_micro(export_tflite(out, TfliteOptions(micro=True)), calls)[0].reshape(4, 9)
    ours = Simulator(out).run([integers])[0].numpy()
    assert np.abs(theirs.astype(np.int64) - ours).max() <= 1


def test_4_bit_weights_are_packed_two_to_a_byte_in_tflite(graph: Graph) -> None:
    out = made(graph, W4)
    file = read(export_tflite(out))
    packed = [t for t in file.main.tensors if t.type == TensorType.INT4]
    assert sorted(t.shape for t in packed) == [(9, 24), (16, 3, 3, 3), (24, 1, 1, 16)]
    assert all(t.data is not None and len(t.data) == t.nbytes == (np.prod(t.shape) + 1) // 2 for t in packed)
    integers = next(t.array() for t in packed if t.shape == (9, 24))
    assert integers.min() >= -7 and integers.max() == 7


def test_the_simulation_of_4_bit_weights_is_the_reference_kernels(graph: Graph) -> None:
    out = made(graph, W4)
    reference = Artifact(export_tflite(out), kernels="reference").run(X.numpy())
    np.testing.assert_array_equal(simulate(out, X).numpy(), reference)


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_onnx_runtime_reads_the_same_integers(graph: Graph, weights: str) -> None:
    out = made(graph, PrecisionPlan(Precision(weights, "int8")), ONNXRUNTIME)  # type: ignore[arg-type]
    got = Artifact(export_onnx(out)).run(X.numpy())
    assert sqnr_db(simulate(out, X).numpy(), got) > 35


def test_4_bit_weights_beside_float_activations_run(graph: Graph) -> None:
    from edgekit.compress.quantize.dynamic_range import quantize_weights_only

    out = quantize_weights_only(graph, smallest=1, plan=PrecisionPlan(Precision("int4", "float32")))
    wanted = out.module().eval().run([X])[0].detach().numpy()
    assert sqnr_db(wanted, Artifact(export_tflite(out)).run(X.numpy())) > 30
    assert sqnr_db(wanted, Artifact(export_onnx(out)).run(X.numpy())) > 60
