"""A damaged edgekit.toml is an error with file, place and hint: never a crash, a hang, or code that runs."""

from __future__ import annotations

import random
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.compress.steps import parse_steps
from edgekit.config import request_from_config
from edgekit.errors import EdgekitError
from edgekit.target import Device, Target

SECONDS, BYTES = 5.0, 1 << 30

CONFIG = """
model = "nets.watch:build"
weights = "w/net.pt"
name = "watch"
targets = ["tflite-int8", "onnx-fp32"]
device = "raspberry-pi-zero-2w"
calibration = "data/train.npz"
evaluate = "nets.check:score"
max_drop = 1.5
batch = 1

[input.image]
shape = [1, 3, 32, 32]
scale = 255
mean = [0.4, 0.5, 0.6]
std = [0.2, 0.2, 0.2]
layout = "NHWC"

[output.logits]
io = "float32"

[training]
epochs = 3
lr = 0.01

[[recipe]]
step = "prune"
macs = 0.5
rounds = 2

[[recipe]]
step = "fine_tune"
epochs = 2
optimizer = "adamw"

[quantization]
observer = "percentile"
percentile = 0.9999
layers = { head = { weights = "int4" } }

[baseline]
report = "old/report.json"
max_growth = "3%"
"""

TARGET = """
description = "a target of one's own"
exporter = "tflite"
min_runtime = "2.14"
runtime = "litert"
[quantization]
weights = { dtype = "int8", granularity = "per_channel", symmetric = true }
activations = { dtype = "int8", granularity = "per_tensor" }
io = "int8"
[parity]
min_sqnr_db = 15
"""

DEVICE = """
description = "a device of one's own"
[hardware]
soc = "BCM2710A1"
abi = "arm64-v8a"
cores = 4
clock_mhz = 1000
[runtime]
name = "litert"
threads = 1
[budget]
p95_latency_ms = 16.7
model_bytes = 4_194_304
"""

#: Values that stand where others are wanted, as TOML.
ODD = (
    *("0", "1", "-1", "1e400", "nan", "-inf", "true", '""', '"x"', "[]", "{}", "[[]]", "[1, [2]]", "1979-05-27", "07:32:00"),
    *(
        '"\\u0000"',
        '"../../../etc/passwd"',
        '"os:system"',
        "\"__import__('os').system('true')\"",
        "9" * 400,
        '"' + "x" * 5000 + '"',
    ),
    *("{a = {b = {c = 1}}}", "-9223372036854775808", "0x7fffffffffffffff", "[" * 300 + "]" * 300, "3.0", '["tflite-int8"]'),
)


def mutated(text: str, seed: int) -> bytes:
    """A damaged copy: bytes, lines, values or keys changed."""
    choice = random.Random(seed)
    for _ in range(choice.choice((1, 1, 2, 4))):
        lines = text.split("\n")
        at = choice.randrange(len(lines))
        match choice.randrange(6):
            case 0:
                place = choice.randrange(len(text))
                text = (
                    text[:place]
                    + chr(choice.choice((0, 9, 34, 39, 44, 61, 91, 93, 123, 125, 127, 233, 0x1F600)))
                    + text[place + 1 :]
                )
                continue
            case 1:
                del lines[at]
            case 2:
                lines.insert(at, choice.choice(lines))
            case 3 if "=" in lines[at]:
                lines[at] = f"{lines[at].partition('=')[0]}= {choice.choice(ODD)}"
            case 4 if "=" in lines[at]:
                key, _, value = lines[at].partition("=")
                place = choice.randrange(len(key))
                lines[at] = f"{key[:place]}{choice.choice('abxyz_.-')}{key[place + 1 :]}={value}"
            case _:
                other = choice.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
        text = "\n".join(lines)
    data = bytearray(text.encode())
    if choice.random() < 0.1:
        data[choice.randrange(len(data))] = choice.randrange(256)
    return bytes(data[: choice.randrange(1, len(data))] if choice.random() < 0.05 else data)


def read_config(path: Path) -> Any:
    """All that is checked before anything heavy is imported."""
    request = request_from_config(path)
    return parse_steps(request.recipe, path, request.training)


READERS = {"edgekit.toml": (CONFIG, read_config), "own.toml": (TARGET, Target.load), "device.toml": (DEVICE, Device.load)}


def run(seeds: range, folder: Path) -> dict[str, int]:
    """How many were read, and how many were errors."""
    counts = {"read": 0, "error": 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        name = ("edgekit.toml", "edgekit.toml", "own.toml", "device.toml")[seed % 4]
        text, reader = READERS[name]
        path = folder / name
        path.write_bytes(mutated(text, seed))
        started = time.process_time()
        try:
            reader(path if name == "edgekit.toml" else str(path))  # type: ignore[operator]
            counts["read"] += 1
        except EdgekitError as error:
            assert error.what and error.where and error.hint, (seed, error)
            counts["error"] += 1
        except Exception as error:
            raise AssertionError(f"mutation {seed}: {path.read_text(errors='replace')}") from error
        assert time.process_time() - started < SECONDS, f"mutation {seed}"
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES
    return counts


@pytest.mark.parametrize("name", READERS)
def test_the_files_are_good_before_they_are_damaged(name: str, tmp_path: Path) -> None:
    text, reader = READERS[name]
    (tmp_path / name).write_text(text)
    reader(tmp_path / name if name == "edgekit.toml" else str(tmp_path / name))  # type: ignore[operator]


@pytest.mark.parametrize(
    "seeds", [range(300), pytest.param(range(300, 2000), marks=pytest.mark.slow)], ids=lambda seeds: f"{len(seeds)} files"
)
def test_damaged_configs_are_errors_or_configs(seeds: range, tmp_path: Path) -> None:
    counts = run(seeds, tmp_path)
    assert counts["error"] > len(seeds) / 2 and sum(counts.values()) == len(seeds)
