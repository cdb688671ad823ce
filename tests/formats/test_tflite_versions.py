"""Operator versions: the lowest that expresses a use, as TensorFlow's converter chooses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.formats.tflite.model import Options, Quantization, Tensor
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.formats.tflite.versions import Use, lowest_version

#: TensorFlow writes the highest version that any use in the file needs, so a file's versions are an upper bound;
#: in these files each operator has one kind of use.
MODELS = ["resnet8_cifar10_int8_tf", "mobilenet_v1_025_vww_int8_tf", "autoencoder_ad_int8_tf", "streaming_wakeword_int8_tf"]


def tensor(*shape: int, type: TensorType = TensorType.FLOAT32, scales: int = 0, scale: float = 1.0) -> Tensor:
    quantization = Quantization(np.full(scales, scale, np.float32), np.zeros(scales, np.int64)) if scales else None
    return Tensor("", shape, type, quantization=quantization)


@pytest.mark.parametrize("name", MODELS)
def test_versions_equal_those_of_tensorflows_converter(name: str, real_data: Path) -> None:
    path = real_data / "models" / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"EDGEKIT_DATA has no {path.name}")
    main = read(path.read_bytes()).main
    for operator in main.operators:
        inputs = [main.tensors[i] if i >= 0 else None for i in operator.inputs]
        use = Use(inputs, [main.tensors[i] for i in operator.outputs], operator.options)
        assert lowest_version(operator.code, use) == operator.version, operator.name


INT8 = TensorType.INT8

CASES = [
    ("float convolution", Op.CONV_2D, [tensor(1, 8, 8, 4), tensor(8, 3, 3, 4)], None, 1),
    ("grouped convolution", Op.CONV_2D, [tensor(1, 8, 8, 4), tensor(8, 3, 3, 2)], None, 6),
    ("hybrid convolution, one scale", Op.CONV_2D, [tensor(1, 8, 8, 4), tensor(8, 3, 3, 4, type=INT8, scales=1)], None, 2),
    ("hybrid convolution per channel", Op.CONV_2D, [tensor(1, 8, 8, 4), tensor(8, 3, 3, 4, type=INT8, scales=8)], None, 5),
    (
        "dilated depthwise convolution",
        Op.DEPTHWISE_CONV_2D,
        [tensor(1, 8, 8, 4), tensor(1, 3, 3, 4)],
        Options("DepthwiseConv2DOptions", {"dilation_h_factor": 2, "dilation_w_factor": 2}),
        2,
    ),
    ("dense without bias", Op.FULLY_CONNECTED, [tensor(1, 4), tensor(2, 4)], None, 6),
    (
        "dense that keeps dimensions",
        Op.FULLY_CONNECTED,
        [tensor(1, 5, 4), tensor(2, 4), tensor(2)],
        Options("FullyConnectedOptions", {"keep_num_dims": True}),
        5,
    ),
    ("transpose of four dimensions", Op.TRANSPOSE, [tensor(1, 2, 3, 4), tensor(4)], None, 1),
    ("transpose of five dimensions", Op.TRANSPOSE, [tensor(1, 2, 3, 4, 5), tensor(5)], None, 4),
    ("transpose of six dimensions", Op.TRANSPOSE, [tensor(1, 2, 3, 4, 5, 6), tensor(6)], None, 6),
    ("bilinear resize", Op.RESIZE_BILINEAR, [tensor(1, 2, 2, 1), tensor(2)], None, 1),
    (
        "bilinear resize at half-pixel centres",
        Op.RESIZE_BILINEAR,
        [tensor(1, 2, 2, 1), tensor(2)],
        Options("ResizeBilinearOptions", {"half_pixel_centers": True}),
        3,
    ),
    ("float16 weights expanded", Op.DEQUANTIZE, [tensor(8, type=TensorType.FLOAT16)], None, 3),
    ("broadcast", Op.BROADCAST_TO, [tensor(1, 4), tensor(2)], None, 2),
]


@pytest.mark.parametrize(("code", "inputs", "options", "version"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_lowest_version(code: Op, inputs: list[Tensor], options: Options | None, version: int) -> None:
    assert lowest_version(code, Use(inputs, [tensor(1)], options)) == version


def test_a_product_that_rescales_by_one_or_more_needs_version_three() -> None:
    small, large = tensor(4, type=INT8, scales=1, scale=0.1), tensor(4, type=INT8, scales=1, scale=2.0)
    assert lowest_version(Op.MUL, Use([small, small], [large])) == 2
    assert lowest_version(Op.MUL, Use([large, large], [small])) == 3
