"""Options of the Python door are held to the types of edgekit.toml before anything runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgekit as ek
from edgekit.build_options import checked
from edgekit.config import InputSettings, OutputSettings, QuantizationSettings
from edgekit.precision import Fallback, LayerPrecision


def test_settings_pass_as_they_are_and_tables_become_settings() -> None:
    quantization = QuantizationSettings(
        observer="mse", layers={"a.b": LayerPrecision(weights="int4")}, fallback=Fallback(max_drop=1.0), sensitivity=True
    )
    inputs = {"x": InputSettings(shape=(1, 2), mean=(1.0, 2.0), std=0.5)}
    options = {"quantization": quantization, "inputs": inputs, "outputs": {"y": OutputSettings(io="int8")}, "dump": Path("a")}
    assert checked(options, ()) == options
    table = {"observer": "mse", "layers": {"a.b": {"weights": "int4"}}, "fallback": {"max_drop": 1}, "sensitivity": True}
    assert checked({"quantization": table, "batch": np.int64(2)}, ()) == {"quantization": quantization, "batch": 2}


def test_none_is_as_good_as_not_given() -> None:
    assert checked({"quantization": None, "inputs": None, "io": None}, ()) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": "mse"}, "'quantization' must be a table, not 'mse'"),
        ({"quantization": {"observer": "best"}}, "'quantization.observer' must be one of"),
        ({"quantization": QuantizationSettings(observer="best")}, "'quantization.observer' must be one of"),  # type: ignore[arg-type]
        ({"io": "int7"}, "'io' must be one of"),
        ({"batch": "2"}, "'batch' must be an integer, not '2'"),
        ({"max_drop": "a"}, "'max_drop' must be a number, not 'a'"),
        ({"strict": "yes"}, "'strict' must be true or false, not 'yes'"),
        ({"example": 1}, "no option 'example'"),
    ],
)
def test_what_can_not_be_is_refused_before_the_model_is_looked_at(options: dict[str, object], message: str) -> None:
    with pytest.raises(ek.EdgekitError, match=message) as caught:
        ek.build("no.such:model", "tflite-int8", **options)
    assert "edgekit.build" in str(caught.value)
    if "example" in options:
        assert "did you mean 'example_inputs'?" in str(caught.value)


@pytest.mark.parametrize("option", ["name", "output", "weights", "device", "target"])
def test_names_and_paths_are_texts(option: str) -> None:
    with pytest.raises(ek.UsageError, match=f"'{option}' must be a text or a path, not int 5"):
        ek.build(object(), **{option: 5})
    with pytest.raises(ek.UsageError, match="'target' must be a text or a path, not int 5"):
        ek.build(object(), ["tflite-fp32", 5])
