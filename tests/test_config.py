"""edgekit.toml: found above, validated, made absolute."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekit.cli.init_command import TEMPLATE
from edgekit.config import (
    BuildRequest,
    InputSettings,
    find_config,
    is_reference,
    load_config,
    parse_input_shape,
    parse_share,
    request_from_config,
)
from edgekit.errors import ConfigError, UsageError

FULL = """
model = "nets.watch:build"
weights = "w/net.pt"
name = "watch"
targets = ["tflite-int8", "mine/own.toml"]
device = "wear-w5"
calibration = "data/train.npz"
evaluate = "nets.check:score"
labels = "labels.txt"
[input.image]
shape = [1, 3, 32, 32]
scale = 255
mean = 0.5
std = [0.2, 0.2, 0.2]
layout = "NHWC"
io = "uint8"
[output]
folder = "built"
[output.logits]
io = "float32"
[[recipe]]
step = "prune"
macs = 0.5
[quantization]
observer = "percentile"
percentile = 0.9999
[baseline]
report = "old/report.json"
max_growth = "3%"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "edgekit.toml"
    path.write_text(text)
    return path


def test_a_full_config_becomes_a_request_with_absolute_paths(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    request = request_from_config(written(tmp_path, FULL))
    assert request == BuildRequest(
        model="nets.watch:build",
        root=root,
        targets=("tflite-int8", str(root / "mine/own.toml")),
        output=root / "built",
        weights=root / "w/net.pt",
        name="watch",
        device="wear-w5",
        calibration=str(root / "data/train.npz"),
        evaluate="nets.check:score",
        labels=root / "labels.txt",
        inputs={
            "image": InputSettings((1, 3, 32, 32), None, 255.0, (0.5,), (0.2, 0.2, 0.2), "NHWC", "uint8", None),
        },
        outputs=request.outputs,
        recipe=({"step": "prune", "macs": 0.5},),
        quantization=request.quantization,
        baseline=root / "old/report.json",
        max_growth=0.03,
        config_file=root / "edgekit.toml",
    )
    assert request.outputs["logits"].io == "float32"
    assert request.quantization.percentile == 0.9999
    assert request.inputs["image"].preprocesses
    assert not InputSettings(io="uint8", shape=(1, 2)).preprocesses


def test_the_config_of_a_folder_above_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, FULL)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_config(below) == path
    assert find_config(Path("/")) is None


def test_the_output_folder_may_be_a_plain_string(tmp_path: Path) -> None:
    path = written(tmp_path, 'model = "net.onnx"\noutput = "out"')
    assert request_from_config(path).output == tmp_path.resolve() / "out"
    assert request_from_config(path).model == str(tmp_path.resolve() / "net.onnx")


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("modle = 'a:b'", "unknown key 'modle'", "did you mean 'model'?"),
        ("model = 'a:b'\n[input.x]\nmena = 1.0", "unknown key 'mena' in [input.x]", "did you mean 'mean'?"),
        ("model = 'a:b'\n[output]\nfoldr = 'x'", "unknown key 'foldr' in [output]", "did you mean 'folder'?"),
        ("model = 'a:b'\n[outputs.x]\nio = 'int8'", "unknown key 'outputs'", "[output.NAME]"),
        ("model = 'a:b'\n[input.x]\nstd = 0.0", "'std' must be above 0, not [0.0] in [input.x]", ""),
        ("model = 'a:b'\n[input.x]\nscale = 0", "'scale' must be above 0", ""),
        ("model = 'a:b'\n[input.x]\nshape = []", "'shape' is a list of positive sizes", ""),
        ("model = 'a:b'\n[input.x]\nmean = [0.1, 0.2]\nstd = [1.0, 1.0, 1.0]", "'mean' has 2 channels and 'std' 3", ""),
        ("model = 'a:b'\n[quantization]\npercentile = 99.9\nobserver = 'percentile'", "'percentile' is a share", ""),
        ("model = 'a:b'\n[quantization]\npercentile = 0.999", "goes with observer", ""),
        ("model = 'a:b'\n[baseline]\nreport = 'r'\nmax_growth = 'lots'", "'lots' is not a share", ""),
        ("model = 'a:b'\ntargets = 'tflite-int8'", "'targets' must be a list", ""),
        ("model = 'a:b'\nbatch = 0", "'batch' is 1 or more, not 0", ""),
        ("model = 'a:b'\nname = '../net'", "'name' is that of a file", ""),
        ("targets = []", "missing key 'model'", "add `model"),
    ],
)
def test_a_wrong_config_names_file_table_and_nearest_key(tmp_path: Path, text: str, what: str, hint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        request_from_config(path)
    assert what in caught.value.what
    assert hint in (caught.value.hint or "")
    assert caught.value.where == str(path)


def test_the_template_of_init_is_valid_as_it_is_and_with_every_line_in_use(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, TEMPLATE)).model == "model:build"
    everything = re.sub(r"(?m)^# (?=\w+ = |\[)", "", TEMPLATE).replace('"min_max"', '"percentile"')
    config = load_config(written(tmp_path, everything))
    assert config.input["x"].layout == "NHWC"
    assert config.baseline is not None
    assert config.batch == 1


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("1,3,32,32", ("", (1, 3, 32, 32), None)),
        ("ids=1,128:int64", ("ids", (1, 128), "int64")),
        ("1, 6, 128", ("", (1, 6, 128), None)),
        ("16", ("", (16,), None)),
    ],
)
def test_an_input_shape_is_read(text: str, parsed: object) -> None:
    assert parse_input_shape(text) == parsed


@pytest.mark.parametrize("text", ["", "1x3x32", "a=b", "1,,2", "1,-3", "=1,2", "1,2:"])
def test_a_wrong_input_shape_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the input shape"):
        parse_input_shape(text)


@pytest.mark.parametrize(("text", "share"), [("2%", 0.02), ("0.5 %", 0.005), ("0.02", 0.02), ("0", 0.0)])
def test_a_share_is_read(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "two", "-1%", "nan", "inf%"])
def test_a_wrong_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        parse_share(text)


def test_references_and_paths_are_told_apart() -> None:
    assert [is_reference(text) for text in ("net:build", "a.b.c:make.it")] == [True, True]
    assert [is_reference(text) for text in ("net.onnx", "a/b:c", "net", "net:", ":build", "1a:b", "C:\\net")] == [False] * 7


def test_a_recipe_in_single_brackets_is_told_of_the_double_ones(tmp_path: Path) -> None:
    path = tmp_path / "edgekit.toml"
    path.write_text('model = "net:build"\n[recipe]\nstep = "prune"\n')
    with pytest.raises(ConfigError, match="list of steps") as caught:
        load_config(path)
    assert "[[recipe]]" in str(caught.value.hint)
