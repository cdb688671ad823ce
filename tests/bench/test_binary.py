"""A user's benchmark_model: its log becomes a launch, with its limits said. The log is that of TensorFlow Lite's tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.bench.binary import BinaryExecutor, read_output
from edgekit.bench.execute import Arm
from edgekit.bench.launch import Request
from edgekit.errors import DeviceError, InputError, Unsupported, UsageError
from tests.bench.devices import TestDevice
from tests.bench.models import dense

LOG = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Loaded model /data/local/tmp/model.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: Initialized session in 4.21ms.
INFO: Running benchmark for at least 10 iterations and at least 0.2 seconds but terminate if exceeding 150 seconds.
INFO: count=1834 first=310 curr=101 min=99 max=310 avg=106.1 std=7
INFO: Running benchmark for at least 30 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=4710 first=103 curr=105 min=99 max=1204 avg=105.2 std=17
INFO: Inference timings in us: Init: 4210, First inference: 310, Warmup (avg): 106.1, Inference (avg): 105.2
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual.
INFO: Memory footprint delta from the start of the tool (MB): init=1.5 overall=2.25
"""


def test_the_tools_log_becomes_a_launch() -> None:
    launch = read_output(LOG, 0, "ab" * 32, where="watch")
    assert (launch.median_us, launch.samples) == (105.2, 4710)  # not the warm-up's
    assert (launch.init_us, launch.first_us, launch.memory.model) == (4210.0, 310.0, 2304)
    assert launch.kernels.delegate == "XNNPACK" and launch.percentiles["p99"] is None
    assert launch.notes == ("it reports the average of a process, not the median",)


def test_a_newer_tools_median_is_used_where_it_prints_one() -> None:
    log = LOG.replace("avg=105.2 std=17", "avg=105.2 std=17 p5=100 median=104 p95=111")
    launch = read_output(log, 0, "ab" * 32, where="watch")
    assert (launch.median_us, launch.percentiles["p95"], launch.notes) == (104.0, 111.0, ())


def test_a_model_too_fast_for_its_clock_is_said() -> None:
    launch = read_output(LOG.replace("105.2", "5.2"), 0, "ab" * 32, where="watch")
    assert launch.notes[0] == "its clock has whole microseconds: this model is too fast for it"


@pytest.mark.parametrize(
    ("log", "error"),
    [
        ("ERROR: Didn't find op for builtin opcode 'GELU' version '1'", Unsupported),
        ("ERROR: Failed to load model /data/x.tflite", InputError),
        ("/system/bin/sh: ./benchmark_model: not executable: 64-bit ELF file", DeviceError),
        ("", DeviceError),
    ],
)
def test_a_log_without_timings_is_an_error_in_three_parts(log: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        read_output(log, 1, "ab" * 32, where="watch")
    assert caught.value.where == "watch" and caught.value.hint  # type: ignore[attr-defined]


def test_the_binary_is_deployed_and_run_on_the_device(device: TestDevice, tmp_path: Path) -> None:
    binary, model = tmp_path / "benchmark_model", tmp_path / "model.tflite"
    binary.write_text(f"#!/bin/sh\n[ -r \"${{1#--graph=}}\" ] || exit 9\ncat <<'EOF'\n{LOG}EOF\n")
    model.write_bytes(dense(16, 4))
    with device.open() as transport:
        executor = BinaryExecutor(transport, [Arm(model)], Request(), binary)
        assert executor.launch(0).median_us == 105.2
    assert device.leftovers() == []


def test_what_the_binary_cannot_do_is_a_usage_error(device: TestDevice, tmp_path: Path) -> None:
    (tmp_path / "binary").write_text("")
    (tmp_path / "model.tflite").write_bytes(dense(16, 4))
    with device.open() as transport, pytest.raises(UsageError, match="bursts on random inputs only"):
        BinaryExecutor(transport, [Arm(tmp_path / "model.tflite")], Request(mode="cold"), tmp_path / "binary")
