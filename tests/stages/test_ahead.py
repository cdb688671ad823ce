"""A training in integers that no target can use is refused before it begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import edgekit as ek
from edgekit.config import BuildRequest, QuantizationSettings
from edgekit.errors import UsageError
from edgekit.precision import LayerPrecision, PrecisionBudget
from edgekit.stages.ahead import require_use
from edgekit.target import Target


def check(step: ek.QAT, *targets: str, **settings: object) -> None:
    asked = QuantizationSettings(**settings)  # type: ignore[arg-type]
    request = BuildRequest("net:build", Path.cwd(), targets, Path("out"), quantization=asked)
    require_use([ek.FineTune(), step], [Target.load(name) for name in targets], request)


@pytest.mark.parametrize("target", ["tflite-fp32", "tflite-dynamic", "tflite-int16", "onnx-fp16"])
def test_targets_that_compute_in_something_else_are_refused(target: str) -> None:
    with pytest.raises(UsageError, match=f"int4 weights and int8 activations: '{target}' computes") as caught:
        check(ek.QAT(weights="int4"), target)
    assert "'qat'" in str(caught.value.where) and "tflite-int8" in str(caught.value.hint)


def test_8_bit_weights_fit_no_target_of_4() -> None:
    with pytest.raises(UsageError, match="'tflite-w4a8' stores int4 weights; 'onnx-fp32' computes in float32"):
        check(ek.QAT(), "tflite-w4a8", "onnx-fp32")
    check(ek.QAT(layers={"wide": "int4"}), "tflite-w4a8")
    check(ek.QAT(weights="int2"), "onnx-w4a8")


def test_one_target_that_fits_is_enough() -> None:
    check(ek.QAT(), "tflite-int8", "tflite-fp32")
    require_use([ek.FineTune()], [Target.load("tflite-fp32")], BuildRequest("net:build", Path.cwd(), (), Path("out")))


@pytest.mark.parametrize(
    "settings", [{"layers": {"fc": LayerPrecision("int4")}}, {"budget": PrecisionBudget(bytes=9)}], ids=["layers", "budget"]
)
def test_types_are_not_chosen_behind_the_training(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="can change nothing: the step 'qat' trains the integers") as caught:
        check(ek.QAT(), "tflite-int8", **settings)
    assert "step 'qat'" in str(caught.value.hint)


def test_nothing_heavy_is_imported_for_it() -> None:
    code = "import sys, edgekit.stages.ahead; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
