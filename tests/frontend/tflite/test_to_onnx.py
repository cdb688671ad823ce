"""A .tflite source written to ONNX: the same numbers, and at most the transposes of its inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgekit.export.onnx import export
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.onnx_runtime import OnnxRuntime
from tests.frontend.tflite.cases import CASES
from tests.frontend.tflite.files import File, load_bytes

#: Case -> transposes: one for each image that comes in or goes out.
TRANSPOSES = {
    "conv_same_stride_2": 2,
    "transpose_conv_3_stride_2_same": 2,
    "max_pool_2d_same_3_stride_2": 2,
    "average_pool_2d_same_3_stride_2_odd": 2,
    "an_image_flattened_into_a_product": 1,
    "an_image_times_a_gate": 2,
    "mean_over_an_image": 1,
    "concatenated_channels": 2,
    "transposes_that_cancel": 0,
    "a_signal_as_an_image_of_height_1": 1,
}


@pytest.mark.parametrize("name", TRANSPOSES)
def test_onnx_runtime_gives_the_graphs_numbers_with_the_transposes_of_the_ends(name: str, tmp_path: Path) -> None:
    file = File()
    graph = load_bytes(file.content(*CASES[name](file)), tmp_path)
    content = export(run_passes(graph, EXACT)[0])
    inputs = [torch.randn(value.type.at(2)) for value in graph.inputs]
    with torch.no_grad():
        wanted = graph.module().eval().run(inputs)
    for got, want in zip(OnnxRuntime(content).invoke([x.numpy() for x in inputs]), wanted, strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)
    kinds = [node.op_type for node in onnx.load_from_string(content).graph.node]
    assert kinds.count("Transpose") == TRANSPOSES[name]
