"""Every operator and setting: the graph of a file computes what LiteRT computes with it, at any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.formats.tflite.read import read
from edgekit.runtime.litert import LiteRT
from tests.frontend.tflite.cases import CASES, WITHOUT_REFERENCE
from tests.frontend.tflite.files import File, assert_agrees, written_again


def kernels_for(content: bytes) -> str:
    return "builtin" if set(WITHOUT_REFERENCE) & set(read(content).op_counts()) else "reference"


@pytest.mark.parametrize("name", CASES)
def test_the_graph_computes_what_litert_computes(name: str, tmp_path: Path) -> None:
    file = File()
    content = file.content(*CASES[name](file))
    graph = assert_agrees(content, tmp_path, kernels=kernels_for(content))
    inputs = [
        torch.randn(v.type.at(3)) if v.type.is_float else torch.ones(v.type.at(3), dtype=v.type.dtype) for v in graph.inputs
    ]
    if not all(value.type.has_batch for value in graph.inputs) or graph.source is None:
        return
    with torch.no_grad():
        got = graph.module().eval().run(inputs)
    wanted = graph.source(*inputs)
    for y, z in zip(got, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        torch.testing.assert_close(y, z, rtol=1e-4, atol=1e-4)


CONVOLUTIONAL = [
    *("conv_same_stride_2", "depthwise_same_stride_2", "depthwise_multiplier_2", "transpose_conv_3_stride_2_same"),
    *("transpose_conv_4_stride_2_same", "max_pool_2d_same_3_stride_2", "average_pool_2d_same_3_stride_1"),
    *("an_image_flattened_into_a_product", "a_product_folded_into_an_image", "an_image_times_a_gate", "concatenated_channels"),
    *("mean_over_an_image", "prelu_per_channel", "depth_to_space", "space_to_depth"),
    *("slice_of_an_image", "zeros_around_an_image", "resize_bilinear_half_pixel_up", "sum_over_channels"),
]


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_channels_last_file_written_again_has_no_transpose_and_no_more_operators(name: str, tmp_path: Path) -> None:
    file = File()
    content = file.content(*CASES[name](file))
    graph = assert_agrees(content, tmp_path)
    again, counts = written_again(graph)
    assert "TRANSPOSE" not in counts and sum(counts.values()) <= sum(read(content).op_counts().values())
    first, second = LiteRT(content, "reference"), LiteRT(again, "reference")
    given = [np.random.default_rng(1).standard_normal(info.shape).astype("f4") for info in first.inputs]
    for y, z in zip(second.invoke(given), first.invoke(given), strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-4, atol=1e-5)
