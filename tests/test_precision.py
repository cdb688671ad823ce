"""The precision of layers as plain data: what a plan says about a name."""

from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.precision import LayerPrecision, Precision, PrecisionPlan

PLAN = PrecisionPlan(
    Precision("int8", "int8"),
    {
        "layer3": LayerPrecision(weights="int4"),
        "layer3.0": LayerPrecision(activations="int16"),
        "fc.weight": LayerPrecision(weights="float32"),
    },
)


def test_the_longest_name_that_fits_counts() -> None:
    assert PLAN.of("layer1.0.conv1.weight") == Precision("int8", "int8")
    assert PLAN.of("layer3.1.conv1.weight") == Precision("int4", "int8")
    assert PLAN.of("layer3.0.conv1.weight") == Precision("int8", "int16")
    assert PLAN.of("layer30.conv1.weight") == Precision("int8", "int8")


def test_float_weights_alone_mean_float_activations() -> None:
    assert PLAN.of("fc.weight") == Precision("float32", "float32")
    assert PLAN.of("fc.bias") == Precision("int8", "int8")


def test_integer_activations_need_integer_weights() -> None:
    with pytest.raises(ValueError, match="int8 activations need integer weights, not float32"):
        Precision("float32", "int8")
    with pytest.raises(ValueError, match="need integer weights"):
        LayerPrecision(weights="float32", activations="int16")
    with pytest.raises(ValueError, match="'weights', 'activations' or both"):
        LayerPrecision()


def test_an_unknown_layer_is_refused_with_the_nearest() -> None:
    plan = PrecisionPlan(Precision(), {"layer3.0.conv": LayerPrecision(weights="int4")})
    with pytest.raises(UsageError, match="no layer of this model") as caught:
        plan.require_known(["layer3.0.conv1.weight", "layer3.0.conv2.weight", "fc.weight"])
    assert "layer3.0.conv" in str(caught.value.hint)
