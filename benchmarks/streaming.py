"""Streams beside the networks on windows that they were made from, and LSTM layers in integers beside float ones.

python -m benchmarks.streaming

MLPerf Tiny's streaming wake word (its int8 .tflite) is built for windows and frames; both get 45 windows of real features.
LSTM layers with random weights show what integers cost and gain: beside float states with 8-bit weights, which is the default.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import edgekit as ek
from benchmarks.checks import RESULTS, Check, conclude, into_readme, record, table
from benchmarks.networks import DATA
from edgekit.bench.qemu import count_instructions
from edgekit.config import QuantizationSettings
from edgekit.precision import LayerPrecision

Figures = dict[str, Any]

_CORE = "cortex-a53"
_WAKE_WORD = DATA / "models" / "streaming_wakeword_int8_tf.tflite"
_FEATURES = DATA / "models" / "streaming_wakeword_calibration.npz"


class Activity(nn.Module):
    """A body-signal network: one LSTM, the last step classified."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(features, hidden, batch_first=True), nn.Linear(hidden, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def wake_word(folder: Path) -> list[Figures]:
    """The network on windows, and its streams with states in and out of the file and inside it."""
    graph = ek.load(_WAKE_WORD)
    with np.load(_FEATURES) as data:
        x, labels = data["specs"].astype(np.float32), data["labels"].astype(int)
    offline = ek.build(graph, "tflite-int8", calibration=x, output=folder / "windows", name="wake_word")
    wanted = ek.run(offline.artifact, x)
    rows = [_row("a window of 30 frames", offline, {"top1": _top1(wanted, labels)})]
    for state, title in (("io", "a frame, states in and out"), ("variables", "a frame, states in the file")):
        settings = ek.Streaming(1, state=state)
        built = ek.build(graph, "tflite-int8", calibration=x, output=folder / state, name="wake_word", streaming=settings)
        stream = ek.Stream(built.artifact)
        last = []
        for window in x:
            stream.reset()
            last.append(stream.run(window[None])[0][-1])
        got = np.concatenate(last)
        same = {"top1": _top1(got, labels), "equal": float((got == wanted).mean())}
        rows.append(_row(title, built, same | {"state_bytes": built.report.streaming.state_bytes}))
    return rows


def _top1(scores: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    return 100 * float((scores.argmax(1) == labels).mean())


def _row(name: str, built: Any, more: Figures) -> Figures:
    artifact = built.report.artifact
    return {
        "network": name,
        "macs": built.report.graph.macs,
        "ops": sum(artifact.operators.values()),
        "bytes": artifact.bytes,
        "instructions": count_instructions(built.artifact, _CORE),
        **more,
    }


def lstms(folder: Path) -> list[Figures]:
    """Each size with float states and in integers, and for TFLite Micro."""
    rows = []
    named = {"quantization": QuantizationSettings(layers={"lstm": LayerPrecision(activations="int8")})}
    for features, hidden, steps in ((9, 32, 128), (40, 64, 50)):
        torch.manual_seed(0)
        module, x = Activity(features, hidden).eval(), torch.randn(64, steps, features)
        for title, target, options in (
            ("float states, 8-bit weights", "tflite-int8", {}),
            ("integers, named", "tflite-int8", named),
            ("integers", "tflm-int8", {}),
        ):
            place = folder / f"{features}-{hidden}-{title}"
            built = ek.build(
                module, target, calibration=x.numpy(), example_inputs=(x[:1],), output=place, name="activity", **options
            )
            source, *others = built.report.verification
            more = {
                "sqnr_db": source.sqnr_db,
                "equal_to_simulation": next((r.equal_integers for r in others if r.against == "simulation"), None),
            }
            rows.append(_row(f"LSTM {features} to {hidden}, {steps} steps: {title}, {target}", built, more))
    return rows


def main() -> int:
    """Build, measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["wake_word", "lstm"], help="measure one part; the other stays as it is recorded")
    only = parser.parse_args().only
    if not _WAKE_WORD.is_file():
        print(f"the data ({DATA}) is not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    before = json.loads((RESULTS / "streaming.json").read_text()) if only and (RESULTS / "streaming.json").is_file() else {}
    with tempfile.TemporaryDirectory(prefix="edgekit-streaming-") as name:
        words = before.get("wake_word", []) if only == "lstm" else wake_word(Path(name))
        layers = before.get("lstm", []) if only == "wake_word" else lstms(Path(name))
    for row in (*words, *layers):
        print(row, flush=True)
    checks = _checks(words, layers)
    versions = {n: metadata.version(n) for n in ("torch", "ai-edge-litert")}
    record("streaming", {"versions": versions, "wake_word": words, "lstm": layers}, checks)
    tables = [table([show(row) for row in rows]) for rows, show in ((words, _word), (layers, _layer)) if rows]
    into_readme("streaming", [line for lines in tables for line in (*lines, "")][:-1])
    return conclude(checks)


def _checks(words: Sequence[Figures], layers: Sequence[Figures]) -> list[Check]:
    checks = []
    for row in words[1:]:
        fifth = words[0]["instructions"] / 5
        checks.append(Check(row["network"], "share of scores that equal the window's", row["equal"], 1.0, ">="))
        checks.append(Check(row["network"], "instructions, a fifth of a window's as the bar", row["instructions"], fifth, "<="))
    for row in layers:
        if "integers" in row["network"]:
            checks.append(Check(row["network"], "equal integers, simulation", row["equal_to_simulation"], 1.0, ">="))
            checks.append(Check(row["network"], "dB against the source", row["sqnr_db"], 25.0, ">="))
    return checks


def _word(row: Figures) -> dict[str, str]:
    return {
        "a call takes": row["network"],
        "MACs": f"{row['macs']:,}",
        "instructions": f"{row['instructions']:,}",
        "ops": str(row["ops"]),
        "bytes": f"{row['bytes']:,}",
        "bytes of states": f"{row['state_bytes']:,}" if "state_bytes" in row else "",
        "top-1 %": f"{row['top1']:.1f}",
        "scores equal to the window's": f"{row['equal']:.0%}" if "equal" in row else "",
    }


def _layer(row: Figures) -> dict[str, str]:
    equal = row["equal_to_simulation"]
    return {
        "layer": row["network"],
        "instructions": f"{row['instructions']:,}",
        "bytes": f"{row['bytes']:,}",
        "dB against the source": f"{row['sqnr_db']:.1f}",
        "integers equal to the simulation": "" if equal is None else f"{equal:.2%}",
    }


if __name__ == "__main__":
    raise SystemExit(main())
