"""Whole networks, quantised by TensorFlow's converter and trained by others, equal LiteRT's reference kernels in every bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgekit.ir import Simulator
from tests.ir.integer.cases import nchw, nhwc
from tests.ir.integer.int8_file import read

#: File -> how many random inputs (the reference kernels need up to half a second each).
NETWORKS = {
    "resnet8_cifar10_int8_tf": 6,
    "dscnn_kws_int8_tf": 6,
    "mobilenet_v1_025_vww_int8_tf": 4,
    "autoencoder_ad_int8_tf": 20,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_tensorflows_converter_equals_the_runtime_in_every_integer_of_every_layer(
    name: str, real_data: Path
) -> None:
    content = (real_data / "models" / f"{name}.tflite").read_bytes()
    graph, values = read(content)
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    [source] = interpreter.get_input_details()
    rng = np.random.default_rng(0)
    shape = [NETWORKS[name], *source["shape"][1:]]
    # Noise around a level of its own for each sample.
    level = rng.normal(size=(shape[0], *[1] * (len(shape) - 1)))
    x = (rng.normal(size=shape) * 20 + level * 60).clip(-128, 127).astype(np.int8)
    theirs: dict[int, list[np.ndarray]] = {index: [] for index in values}  # type: ignore[type-arg]
    for sample in x:
        interpreter.set_tensor(source["index"], sample[None])
        interpreter.invoke()
        for index, results in theirs.items():
            results.append(interpreter.get_tensor(index)[0].copy())
    ours: dict[int, torch.Tensor] = {}
    Simulator(graph).run([torch.from_numpy(nchw(x) if x.ndim == 4 else x)], lambda v, y: ours.__setitem__(id(v), y))
    varied = 0
    for index, value in values.items():
        expected = np.stack(theirs[index])
        found = ours[id(value)].numpy()
        np.testing.assert_array_equal(nhwc(found) if found.ndim == 4 else found, expected, err_msg=value.name)
        varied += len(np.unique(expected.reshape(shape[0], -1), axis=0)) > 1
    assert varied > len(values) / 2
