"""Targets and devices: every shipped file is valid, a user's own file works, a wrong one says what is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgekit.errors import ConfigError, UsageError
from edgekit.target import Device, Target, device_names, target_names, targets_folder

MINE = """
description = "mine"
exporter = "tflite"
runtime = "litert"
min_runtime = "2.14"
[parity]
min_sqnr_db = 12
"""


@pytest.mark.parametrize("name", target_names())
def test_a_shipped_target_loads_and_is_named_after_its_file(name: str) -> None:
    target = Target.load(name)
    assert (target.name, target.path.name) == (name, f"{name}.toml")
    assert target.exporter == {"tflm": "tflite", "c": "tflite"}.get(name.partition("-")[0], name.partition("-")[0])
    assert target.suffix == f".{target.exporter}"
    assert dataclasses.replace(target) == target


@pytest.mark.parametrize("name", device_names())
def test_a_shipped_device_loads_and_names_known_targets(name: str) -> None:
    device = Device.load(name)
    assert device.name == name
    assert set(device.runtime.targets) <= set(target_names())
    assert device.hardware.cores is None or device.runtime.threads <= device.hardware.cores


def test_the_targets_of_the_plan_are_there() -> None:
    precisions = ("fp32", "fp16", "dynamic", "int8", "w4a8", "int16")
    wanted = {f"{exporter}-{precision}" for exporter in ("tflite", "onnx") for precision in precisions}
    assert set(target_names()) == wanted | {"tflm-int8", "tflite-binary", "tflite-lce", "c-binary"}


def test_only_integer_activations_need_calibration() -> None:
    needing = {name for name in target_names() if Target.load(name).quantization.needs_calibration}
    static = {f"{exporter}-{precision}" for exporter in ("tflite", "onnx") for precision in ("int8", "w4a8", "int16")}
    assert needing == static | {"tflm-int8", "tflite-binary", "tflite-lce", "c-binary"}


def test_a_users_own_file_is_a_target(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    target = Target.load(path)
    assert (target.name, target.parity.min_sqnr_db, target.quantization.io) == ("mine", 12.0, "float32")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tflite-in8", "did you mean 'tflite-int8'?"),
        ("TFLITE-INT8", "did you mean 'tflite-int8'?"),
        ("coreml", "onnx-dynamic, onnx-fp16"),
        ("./none.toml", "a path to a .toml file"),
        ("../targets/tflite-int8", "a path to a .toml file"),
    ],
)
def test_an_unknown_target_names_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Target.load(name)
    assert f"'{name}'" in caught.value.what
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("exporter =", "exportr ="), "unknown key 'exportr'"),
        (("min_sqnr_db = 12", "min_sqnr_db = 12\nmin_top1_agreement = 99.2"), "share between 0 and 1"),
        (('"litert"', '"litert2"'), "'runtime' must be one of"),
        (("[parity]", "name = 'x'\n[parity]"), "unknown key 'name'"),
        (("[parity]\nmin_sqnr_db = 12", ""), "missing key 'parity'"),
    ],
)
def test_a_wrong_target_file_is_refused(tmp_path: Path, change: tuple[str, str], what: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace(*change))
    with pytest.raises(ConfigError) as caught:
        Target.load(path)
    assert what in caught.value.what
    assert caught.value.where == str(path)


def test_a_budget_of_zero_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    text = 'description = "b"\n[hardware]\nsoc = "s"\nabi = "x86_64"\n[runtime]\nname = "litert"\n[budget]\nmodel_bytes = {}\n'
    path.write_text(text.format(0))
    with pytest.raises(ConfigError, match="'model_bytes' must be above 0, not 0 in \\[budget\\]"):
        Device.load(path)
    path.write_text(text.format("4_096"))
    assert Device.load(path).budget.model_bytes == 4096


def test_the_folder_is_found_by_path() -> None:
    assert (targets_folder() / "tflite-int8.toml").is_file()
