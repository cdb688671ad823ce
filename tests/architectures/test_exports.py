"""Every architecture of the zoo as float and 8-bit TFLite and ONNX: what the files compute, and what they are made of."""

from __future__ import annotations

import pytest

from benchmarks.zoo import ARCHITECTURES
from benchmarks.zoo.bars import checks_of
from benchmarks.zoo.exports import TARGETS, Network, operators

#: The others run with the slow tests.
SAMPLE = ("TC-ResNet", "ViT, 4 blocks")
NAMES = [name if name in SAMPLE else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]


@pytest.mark.parametrize("name", NAMES)
def test_four_files_compute_what_the_network_does_and_hold_their_bars(name: str) -> None:
    network = Network(name)
    checks = [check for target in TARGETS for check in checks_of(network.measure(target))]
    assert len(checks) >= 5 and [str(check) for check in checks if not check.passed] == []


def test_a_transformer_of_four_blocks_has_few_operators() -> None:
    ops = operators(Network("ViT, 4 blocks").export("tflite-fp32")[0])
    assert (ops["FULLY_CONNECTED"], ops["GELU"], ops["SOFTMAX"], ops["BATCH_MATMUL"]) == (17, 4, 4, 8)
    assert (ops["MEAN"], ops["MUL"], ops["ADD"]) == (10, 9, 18) and "SUB" not in ops  # nine norms of five operators
    assert sum(ops.values()) == 110
