"""Instructions per inference: exact, keyed, the same outputs as on x86, and honest where it cannot count."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from edgekit import bench
from edgekit.bench import qemu
from edgekit.bench.headline import headlines
from edgekit.bench.launch import read_launch
from edgekit.bench.measurement import condense
from edgekit.bench.qemu import toolbox
from edgekit.bench.qemu.cpu import CPUS
from edgekit.bench.qemu.userland import run_python, userland_folder
from edgekit.errors import DeviceError, InputError, UsageError
from edgekit.formats.tflite.model import Model, Operator, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write

TINY = (
    "resnet8_cifar10_int8_tf",
    "dscnn_kws_int8_tf",
    "mobilenet_v1_025_vww_int8_tf",
    "autoencoder_ad_int8_tf",
    "streaming_wakeword_int8_tf",
)

#: Counted once with LiteRT 2.3.0. A change of kernels, compiler or marks shows here.
COUNTS = {
    "resnet8_cifar10_int8_tf": (5014097, 1502146),
    "dscnn_kws_int8_tf": (1340047, 715048),
    "mobilenet_v1_025_vww_int8_tf": (4017918, 1930288),
    "autoencoder_ad_int8_tf": (141697, 48467),
    "streaming_wakeword_int8_tf": (381696, 151002),
}


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    absent = qemu.missing()
    if absent:
        pytest.skip("counting instructions is not set up: missing " + ", ".join(absent))


@pytest.mark.parametrize("name", TINY)
def test_every_process_counts_the_same_to_the_last_instruction(name: str, real_data: Path) -> None:
    model = real_data / "models" / f"{name}.tflite"
    began = os.times()
    counts = [qemu.count(model) for _ in range(3)]
    assert len({count.calls for count in counts}) == 1 and all(count.exact for count in counts)
    used = os.times()
    seconds = used.children_user + used.children_system - began.children_user - began.children_system
    assert seconds / 3 < 2  # processor seconds a model, after set-up: the wall clock belongs to the other tests too


@pytest.mark.parametrize("name", TINY)
def test_the_counts_are_those_that_were_measured(name: str, real_data: Path) -> None:
    model = real_data / "models" / f"{name}.tflite"
    a53, a76 = (qemu.count_instructions(model, cpu) for cpu in ("cortex-a53", "cortex-a76"))
    assert (a53, a76) == pytest.approx(COUNTS[name], rel=1e-3)


@pytest.mark.parametrize("name", TINY)
def test_int8_outputs_are_bit_identical_on_x86_and_arm64(name: str, real_data: Path, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    model = real_data / "models" / f"{name}.tflite"
    interpreter = Interpreter(model_path=str(model))
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    for seed, cpu in enumerate(("cortex-a53", "cortex-a76")):
        value = np.random.default_rng(seed).integers(-128, 128, details["shape"], dtype=np.int8)
        (tmp_path / "input").write_bytes(value.tobytes())
        qemu.count(model, cpu, input=tmp_path / "input", output=tmp_path / "output")
        interpreter.set_tensor(details["index"], value)
        interpreter.invoke()
        here = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        assert (tmp_path / "output").read_bytes() == here.tobytes()


def root_without_cores(tmp_path: Path) -> Path:
    """A root whose /sys does not list the cores, as in many containers and chroots."""
    root = tmp_path / "root"
    for name in ("proc", "sys/devices/system/cpu/possible", "sys/devices/system/cpu/present"):
        (root / name).mkdir(parents=True)
    (root / "proc/cpuinfo").write_text(CPUS["cortex-a53"].cpuinfo())
    return root


def test_a_root_that_does_not_show_its_cores_is_an_error_and_not_another_count(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = root_without_cores(tmp_path)
    (root / "lib").symlink_to(toolbox.SYSROOT / "lib")
    monkeypatch.setattr("edgekit.bench.qemu.counting.root_for", lambda cpu: root)
    with pytest.raises(DeviceError, match="cpuinfo"):
        qemu.count(real_data / "models" / "resnet8_cifar10_int8_tf.tflite")


@pytest.mark.slow
def test_the_runner_on_a_root_that_does_not_show_its_cores_reports_the_fall_back(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not userland_folder().is_dir():
        pytest.skip("the ARM64 userland is missing: edgekit bench --setup-qemu --userland")
    root = root_without_cores(tmp_path)
    for name in ("usr", "etc", "lib"):
        (root / name).symlink_to(userland_folder() / name)
    runner, model = Path(bench.__file__).with_name("runner.py"), real_data / "models" / "resnet8_cifar10_int8_tf.tflite"
    arguments = [str(runner), str(model), "--calls", "1", "--seconds", "0", "--warmup-calls", "1", "--warmup-seconds", "0"]
    right = run_python(CPUS["cortex-a53"], arguments)
    monkeypatch.setattr("edgekit.bench.qemu.userland.python_root_for", lambda cpu: root)
    wrong = run_python(CPUS["cortex-a53"], arguments)
    launches = [read_launch(done.stdout, done.stderr, done.returncode, where="here") for done in (right, wrong)]
    assert [launch.kernels.delegate for launch in launches] == ["XNNPACK", None]
    measured = [condense(model, "burst", [launch], (), "default", headlines([[launch]], 1)[0]) for launch in launches]
    assert measured[0].warnings == () and any("XNNPACK did not take the model" in text for text in measured[1].warnings)
    assert any("cpuinfo" in text for text in measured[1].warnings)


def test_cores_have_different_kernels_and_so_different_counts(real_data: Path) -> None:
    model = real_data / "models" / "dscnn_kws_int8_tf.tflite"
    keys = {qemu.count(model, cpu).key for cpu in ("cortex-a53", "cortex-a72", "cortex-a76")}
    assert keys == {f"cortex-a{n}/ai-edge-litert {toolbox.TESTED_LITERT}" for n in (53, 72, 76)}
    assert len({qemu.count_instructions(model, cpu) for cpu in ("cortex-a53", "cortex-a72", "cortex-a76")}) == 3


def test_a_recurrent_model_with_variable_tensors_is_counted_through_python(real_data: Path) -> None:
    if not userland_folder().is_dir():
        pytest.skip("the ARM64 userland is missing: edgekit bench --setup-qemu --userland")
    counted = qemu.count(real_data / "models" / "lstm_mnist_fp32.tflite")
    assert counted.per_inference == pytest.approx(355832, rel=1e-3) and not counted.exact


def tiny_model() -> bytes:
    tensors = (Tensor("x", (1, 4), TensorType.FLOAT32), Tensor("y", (1, 4), TensorType.FLOAT32))
    return write(Model((Subgraph(tensors, (0,), (1,), (Operator(BuiltinOperator.LOGISTIC, (0,), (1,)),)),)))


def test_a_model_without_signatures_is_counted(tmp_path: Path) -> None:
    (tmp_path / "tiny.tflite").write_bytes(tiny_model())
    assert 100 < qemu.count_instructions(tmp_path / "tiny.tflite") < 10_000


def test_the_files_place_and_the_environment_do_not_change_the_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.tflite").write_bytes(tiny_model())
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    (deep / "another name.tflite").write_bytes(tiny_model())
    first = qemu.count(tmp_path / "tiny.tflite")
    monkeypatch.setenv("SOMETHING_LONG", "x" * 5000)
    assert qemu.count(deep / "another name.tflite").calls == first.calls


def test_an_onnx_model_is_counted_in_onnx_runtime_within_a_per_cent(tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    absent = qemu.missing([toolbox.ort_library()])
    if absent:
        pytest.skip("counting .onnx files is not set up: missing " + ", ".join(absent))
    rng = np.random.default_rng(0)
    weights = onnx.numpy_helper.from_array(rng.standard_normal((16, 3, 3, 3)).astype("f4"), "w")
    x, y = (onnx.helper.make_tensor_value_info(name, 1, ["N", channels, 8, 8]) for name, channels in (("x", 3), ("y", 16)))
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = onnx.helper.make_graph([node], "g", [x], [y], [weights])
    path = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), path)
    value = rng.standard_normal((1, 3, 8, 8)).astype("f4")
    (tmp_path / "input").write_bytes(value.tobytes())
    counts = [qemu.count(path, input=tmp_path / "input", output=tmp_path / "output") for _ in range(2)]
    assert counts[0].per_inference == pytest.approx(counts[1].per_inference, rel=0.011) and not counts[0].exact
    here = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": value})[0]
    there = np.frombuffer((tmp_path / "output").read_bytes(), "f4").reshape(here.shape)
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


def test_a_core_that_is_not_emulated_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no emulated core 'cortex-a55'") as caught:
        qemu.count(tmp_path / "model.tflite", "cortex-a55")
    assert caught.value.hint


def test_a_missing_or_damaged_model_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        qemu.count(tmp_path / "missing.tflite")
    (tmp_path / "damaged.tflite").write_bytes(tiny_model()[:200])
    with pytest.raises(InputError, match="cannot run the model"):
        qemu.count(tmp_path / "damaged.tflite")


def test_another_plugin_interface_is_refused_with_both_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "qemu-aarch64"
    fake.write_text("#!/bin/sh\necho 'edgekit-insn: plugin API 4, tested with 1' >&2\nexit 1\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("os.defpath", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "tiny.tflite").write_bytes(tiny_model())
    with pytest.raises(DeviceError, match="plugin API 4, tested with 1") as caught:
        qemu.count(tmp_path / "tiny.tflite")
    assert caught.value.exit_code == 6 and caught.value.hint and "7.2" in caught.value.hint


def test_what_is_missing_is_listed_with_how_to_bring_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    (tmp_path / "tiny.tflite").write_bytes(tiny_model())
    with pytest.raises(DeviceError, match="qemu-aarch64") as caught:
        qemu.count(tmp_path / "tiny.tflite")
    assert "qemu-user" in caught.value.what and caught.value.hint == "edgekit bench --setup-qemu"
    with pytest.raises(DeviceError, match="qemu-user") as caught:
        qemu.set_up()
    assert caught.value.hint and "apt-get install" in caught.value.hint
