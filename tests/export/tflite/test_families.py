"""Networks of many families in every precision: right, without transposes that they do not need, in old runtimes too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.compress.quantize.dynamic_range import quantize_weights_only
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.tflite.read import read
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.passes import DECOMPOSE, EXACT, run_passes
from edgekit.passes.decompose_activations import DECOMPOSE_FOR_INTEGERS
from edgekit.runtime.artifact import Artifact
from tests import tflite_runtimes
from tests.export.tflite.families import FAMILIES
from tests.export.tflite.running import op_counts


def make(name: str) -> tuple[Graph, torch.Tensor, np.ndarray]:  # type: ignore[type-arg]
    """The graph, samples, and the source's outputs for them."""
    torch.manual_seed(0)
    build, shape, _ = FAMILIES[name]
    module = build().eval()
    x = torch.randn(8, *shape) if name != "tokens" else torch.randint(0, 100, (8, *shape))
    with torch.no_grad():
        want = module(x).numpy()
    return run_passes(load(module, (x[:1],)), EXACT)[0], x, want


def sqnr(want: np.ndarray, got: np.ndarray) -> float:  # type: ignore[type-arg]
    return float(10 * np.log10((want**2).sum() / ((want - got) ** 2).sum()))


def on_old_runtime(file: bytes, x: torch.Tensor) -> np.ndarray:  # type: ignore[type-arg]
    """The first output of tflite-runtime 2.14, samples stacked, as numbers."""
    record = Artifact(file).record
    arrays = x.numpy()
    if record.inputs[0].layout == "channels_last":
        arrays = np.moveaxis(arrays, 1, -1)
    scale, zero = record.inputs[0].file.scale, record.inputs[0].file.zero_point
    if scale is not None:
        arrays = np.clip(np.rint(arrays / scale) + zero, -128, 127).astype(np.int8)
    out = tflite_runtimes.run_2_14(file, [[sample[None]] for sample in arrays])[0][:, 0]
    output = record.outputs[0]
    if output.file.scale is not None:
        out = (out.astype(np.float32) - output.file.zero_point) * output.file.scale
    return np.moveaxis(out, -1, 1) if output.layout == "channels_last" else out


@pytest.mark.parametrize("name", FAMILIES)
def test_a_float_file_gives_the_sources_numbers(name: str) -> None:
    graph, x, want = make(name)
    file = export(graph)
    assert op_counts(file).get("TRANSPOSE", 0) <= FAMILIES[name][2]
    np.testing.assert_allclose(Artifact(file).run(x.numpy()), want, atol=2e-5)
    np.testing.assert_allclose(on_old_runtime(file, x), want, atol=2e-5)
    batched = export(graph, TfliteOptions(batch=4))
    np.testing.assert_allclose(Artifact(batched).run(x.numpy()), want, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_narrow_weights_keep_the_numbers(name: str) -> None:
    graph, x, want = make(name)
    halves, bytes_ = export(graph, TfliteOptions(float16=True)), export(quantize_weights_only(graph))
    assert sqnr(want, Artifact(halves).run(x.numpy())) > 50
    assert sqnr(want, Artifact(bytes_).run(x.numpy())) > 35
    assert sqnr(want, on_old_runtime(bytes_, x)) > 30


@pytest.mark.parametrize("name", FAMILIES)
def test_an_integer_file_is_near_the_source_in_every_runtime(name: str) -> None:
    graph, x, want = make(name)
    graph = run_passes(graph, (*DECOMPOSE, *DECOMPOSE_FOR_INTEGERS))[0]
    options = PostTraining(observer="min_max", bias_correction=False)
    file = export(quantize(graph, [[x]], options=options)[0])
    assert read(file).op_counts().get("TRANSPOSE", 0) <= FAMILIES[name][2]
    assert sqnr(want, Artifact(file).run(x.numpy())) > 25
    assert sqnr(want, on_old_runtime(file, x)) > 20
