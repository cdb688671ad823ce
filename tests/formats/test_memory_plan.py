"""Offline memory plans: nothing overlaps, nothing is smaller than the bound, and TensorFlow Lite Micro uses them."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.formats.tflite.memory_plan import (
    METADATA_NAME,
    greedy_plan,
    lifetimes,
    lower_bound,
    plan_end,
    plan_offline,
    with_offline_plan,
)
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.write import write

needs_tflm = pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="tflite-micro is not installed")

_tensors = st.lists(
    st.tuples(st.integers(1, 5000), st.integers(0, 12), st.integers(0, 6)).map(lambda t: (t[0], t[1], t[1] + t[2])), max_size=14
)


@settings(max_examples=60, deadline=None)
@given(_tensors)
def test_tensors_that_live_together_never_overlap(tensors: list[tuple[int, int, int]]) -> None:
    sizes, first, last = ([t[k] for t in tensors] for k in range(3))
    offsets = plan_offline(sizes, first, last)
    assert all(offset % 16 == 0 for offset in offsets)
    for i in range(len(tensors)):
        for j in range(i):
            if first[i] <= last[j] and first[j] <= last[i]:
                assert offsets[i] + sizes[i] <= offsets[j] or offsets[j] + sizes[j] <= offsets[i]
    assert lower_bound(sizes, first, last) <= plan_end(offsets, [-(-size // 16) * 16 for size in sizes])


def test_a_plan_can_beat_largest_first() -> None:
    # a chain whose two small tensors leave a hole when the large one is placed first: MobileNetV1's start
    sizes, first, last = [27648, 18432, 18432, 36864], [0, 0, 1, 2], [0, 1, 2, 3]
    assert plan_end(greedy_plan(sizes, first, last), sizes) == 73728
    assert plan_end(plan_offline(sizes, first, last), sizes) == lower_bound(sizes, first, last) == 55296


def test_the_same_tensors_get_the_same_plan() -> None:
    sizes, first, last = [100, 700, 300, 300, 900], [0, 0, 1, 2, 3], [1, 2, 3, 3, 4]
    assert plan_offline(sizes, first, last) == plan_offline(sizes, first, last)


def test_nothing_to_plan_is_an_empty_plan() -> None:
    assert plan_offline([], [], []) == [] and lower_bound([], [], []) == 0


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("resnet8_cifar10_int8_tf", 49152),
        ("dscnn_kws_int8_tf", 16000),
        ("mobilenet_v1_025_vww_int8_tf", 55296),
        ("autoencoder_ad_int8_tf", 768),
    ],
)
@needs_tflm
def test_the_arena_of_the_mlperf_tiny_networks_is_the_lower_bound(
    name: str, bound: int, real_data: Path, tmp_path: Path
) -> None:
    from edgekit.bench.micro import arena

    model = read((real_data / "models" / f"{name}.tflite").read_bytes())
    lives = lifetimes(model.main)
    columns = [life.nbytes for life in lives], [life.first for life in lives], [life.last for life in lives]
    assert lower_bound(*columns) == bound
    planned = tmp_path / "planned.tflite"
    planned.write_bytes(write(with_offline_plan(model)))
    assert arena(planned).head <= bound


@needs_tflm
def test_a_plan_is_written_only_where_it_lowers_the_arena(real_data: Path, tmp_path: Path) -> None:
    from edgekit.bench.micro import arena

    models = real_data / "models"
    mobilenet = read((models / "mobilenet_v1_025_vww_int8_tf.tflite").read_bytes())
    planned = with_offline_plan(mobilenet)
    assert struct.unpack_from("<3i", planned.metadata[METADATA_NAME]) == (1, 0, len(mobilenet.main.tensors))
    path = tmp_path / "planned.tflite"
    path.write_bytes(write(planned))
    before = arena(models / "mobilenet_v1_025_vww_int8_tf.tflite")
    assert (before.head, arena(path).head) == (73728, 55296)
    resnet = read((models / "resnet8_cifar10_int8_tf.tflite").read_bytes())
    assert with_offline_plan(resnet) is resnet


@needs_tflm
def test_the_plan_changes_no_output(real_data: Path) -> None:
    from tflite_micro import runtime

    content = (real_data / "models" / "mobilenet_v1_025_vww_int8_tf.tflite").read_bytes()
    outputs = []
    for data in (content, write(with_offline_plan(read(content)))):
        interpreter = runtime.Interpreter.from_bytes(data, arena_size=1 << 20)
        rng = np.random.default_rng(0)
        for _ in range(3):
            interpreter.set_input(rng.integers(-128, 128, (1, 96, 96, 3), dtype=np.int8), 0)
            interpreter.invoke()
            outputs.append(interpreter.get_output(0).tobytes())
    assert outputs[:3] == outputs[3:]
