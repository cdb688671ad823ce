"""Scales that kernels refuse or abort on are never written, whatever calibration saw. The runtime itself is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.compress.quantize.policy import LITERT
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.ir import Graph, simulate
from edgekit.ir.text import parse
from edgekit.precision import Precision, PrecisionPlan
from edgekit.runtime.artifact import Artifact
from edgekit.target import Target
from tests.compress.quantize.prepared import prepared, quantized

#: Networks of which calibration sees next to nothing somewhere.
CASES = {
    "a difference that cancels": "@w: float32[6,6]\n%a = linear(%x, @w)\n%n = clamp(%a, low=-1e-9, high=1e-9)\n"
    "%b = add(%a, %n)\n%y = sub(%b, %a)\nreturn %y",
    "a sum of almost nothing": "@w: float32[6,6]\n@tiny: float32[] = 1e-9\n%a = linear(%x, @w)\n%n = mul(%a, @tiny)\n"
    "%y = sub(%n, %n)\nreturn %y",
    "a dead rectifier": "@w: float32[6,6]\n@b: float32[6] = [-1e3, -1e3, -1e3, -1e3, -1e3, -1e3]\n"
    "%a = linear(%x, @w, @b)\n"
    "%r = relu(%a)\n%y = linear(%r, @w)\nreturn %y",
    "a hardswish of negative numbers": "@w: float32[6,6]\n@b: float32[6] = [-99, -99, -99, -99, -99, -99]\n"
    "%a = linear(%x, @w, @b)\n"
    "%h = hardswish(%a)\n%y = linear(%h, @w)\nreturn %y",
    "a mean that cancels": "@w: float32[6,6]\n%a = linear(%x, @w)\n%n = neg(%a)\n%c = concat(%a, %n, axis=1)\n"
    "%y = mean(%c, axes=(1,), keepdim=True)\nreturn %y",
    "weights of zero": "@z: float32[6,6]\n@w: float32[6,6]\n%a = linear(%x, @z)\n%y = linear(%a, @w)\nreturn %y",
}


def build(name: str, observer: str = "output_error") -> Graph:
    graph = parse(f"graph g(%x: float32[N,6])\n{CASES[name]}")
    for value in graph.constants():
        if value.name == "z":
            value.data = torch.zeros(6, 6)
    return quantized(graph)[0]


@pytest.mark.parametrize("name", CASES)
def test_output_scales_are_no_finer_than_a_hundredth_of_the_input_steps(name: str) -> None:
    for node in build(name).nodes:
        read = [v.quant for v in node.inputs if v is not None and not v.is_constant]
        if node.op.name in ("add", "sub", "hardswish", "mean") and node.output.quant is not None and None not in read:
            assert node.output.quant.scale[0] >= 0.0099 * max(q.scale[0] for q in read if q is not None)


@pytest.mark.parametrize("kernels", ["default", "reference"])
def test_litert_runs_them_all_and_agrees_with_the_simulation(kernels: str, tmp_path: Path) -> None:
    """In a process of its own: the failure looked for is an abort."""
    inputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
    np.save(tmp_path / "x.npy", inputs.numpy())
    target = Target.load("tflite-int8")
    wanted = {}
    for index, name in enumerate(CASES):
        graph = build(name)
        (tmp_path / f"{index}.tflite").write_bytes(export(graph, TfliteOptions.for_target(target)))
        wanted[index] = (simulate(graph, inputs).numpy(), graph.outputs[0].quant)
    code = (
        "import sys, numpy as np\nfrom edgekit.runtime.artifact import Artifact\n"
        "x = np.load(sys.argv[1] + '/x.npy')\n"
        f"for i in range({len(CASES)}):\n"
        "    y = Artifact(f'{sys.argv[1]}/{i}.tflite', kernels=sys.argv[2]).run(x)\n"
        "    np.save(f'{sys.argv[1]}/{i}.npy', y)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), kernels], check=True, capture_output=True)
    for index, (simulated, quant) in wanted.items():
        assert quant is not None
        steps = np.rint((np.load(tmp_path / f"{index}.npy") - simulated) / quant.scale[0])
        assert np.abs(steps).max() <= (1 if kernels == "reference" else 3), list(CASES)[index]


def test_ordinary_ranges_are_left_as_they_were_chosen() -> None:
    text = "graph g(%x: float32[N,6])\n@w: float32[6,6]\n%a = linear(%x, @w)\n%b = hardswish(%a)\n%y = add(%a, %b)\nreturn %y"
    from edgekit.compress.quantize.post_training import PostTraining

    batches = [[torch.randn(64, 6, generator=torch.Generator().manual_seed(0))]]
    after, _ = quantized(text, batches=batches, options=PostTraining("min_max"), policy=LITERT)
    graph = parse(text)
    seen: dict[str, torch.Tensor] = {}
    graph.module().run(batches[0], lambda v, t: seen.update({v.name: t}))
    for name in ("a", "b", "y"):
        quant, data = after.value(name).quant, seen[name]
        assert quant is not None
        assert quant.scale[0] == pytest.approx((float(data.max()) - min(float(data.min()), 0.0)) / 255, rel=1e-5)


def test_an_input_that_is_always_zero_in_calibration_covers_minus_one_to_one_and_is_mentioned() -> None:
    after, record = quantized(
        "graph g(%x: float32[N,6], %h: float32[N,6])\n@w: float32[6,6]\n%a = linear(%x, @w)\n%y = add(%a, %h)\nreturn %y",
        batches=[[torch.randn(8, 6), torch.zeros(8, 6)]],
    )
    assert record.warnings == ["input 'h' is zero in all calibration data: its integers cover -1 to 1"]
    assert after.inputs[1].quant is not None
    assert after.inputs[1].quant.range[0] == pytest.approx(-1, abs=0.01) and after.inputs[1].quant.range[1] == pytest.approx(
        1, abs=0.01
    )


def _ran(graph: Graph, x: torch.Tensor, kernels: str) -> np.ndarray:
    return np.asarray(Artifact(export(graph, TfliteOptions()), kernels=kernels).run(x.numpy()))


@pytest.mark.parametrize("kernels", ["default", "reference"])
def test_biases_beside_4_bit_weights_fit_what_xnnpack_adds_up(kernels: str) -> None:
    """Three rows without weights have the finest scales that there are; XNNPACK holds their biases times 16."""
    before = prepared("graph g(%x: float32[N,6])\n@w: float32[4,6]\n@b: float32[4]\n%y = linear(%x, @w, @b)\nreturn %y")
    values = {value.name: value for value in before.constants()}
    values["w"].data = torch.diag_embed(torch.tensor([0.0, 1.0, 0.0, 0.0]))[:, [0, 1, 2, 3, 0, 2]]
    values["b"].data = torch.tensor([0.28, -0.2, 0.29, 0.33])
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(3)) * 0.01
    graph, _ = quantized(before, batches=[[x]], plan=PrecisionPlan(Precision("int4", "int8")))
    assert {v.quant.dtype for v in graph.constants() if v.quant is not None and v.type.rank == 2} == {"int4"}
    np.testing.assert_allclose(_ran(graph, x[:8], kernels), simulate(graph, x[:8]).numpy(), atol=1e-6)


@pytest.mark.parametrize("activations", ["int8", "int16"])
def test_a_channel_far_below_zero_stays_zero(activations: str) -> None:
    """Where its sum in output steps leaves 32 bits, LiteRT's 16-bit kernels wrap around."""
    before = prepared(
        "graph g(%x: float32[N,3,6,6])\n@w: float32[4,3,3,3]\n@b: float32[4] = [-100, -1e4, -100, -1e6]\n@v: float32[4,4]\n"
        "%a = conv2d(%x, @w, @b)\n%r = relu(%a)\n%m = mean(%r, axes=(2, 3))\n%y = linear(%m, @v)\nreturn %y"
    )
    x = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    graph, _ = quantized(before, batches=[[x]], plan=PrecisionPlan(Precision("int8", activations)))  # type: ignore[arg-type]
    for kernels in ("default", "reference"):
        assert not _ran(graph, x, kernels).any()
