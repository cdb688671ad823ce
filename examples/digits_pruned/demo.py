"""Train a network, prune it to a quarter of its work, fine-tune it with itself as teacher, and build an int8 file of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import edgekit as ek
from examples.digits_pruned.net import WideDigitNet

FOLDER = Path(__file__).parent


def prepare(folder: Path) -> None:
    """Writes ``train.npz``, ``test.npz`` and the trained network ``digits.ekg``."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.25, random_state=0, stratify=digits.target)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "train.npz", x=x, y=y)
    np.savez(folder / "test.npz", x=x_test, y=y_test)
    torch.manual_seed(0)
    graph = ek.load(WideDigitNet(), torch.zeros(1, 1, 8, 8))
    trained = ek.FineTune(epochs=15, lr=3e-3, batch_size=64).apply(graph, ek.Data(train=(x, y)))
    trained.history = ()  # this is the network that the build starts from
    trained.save(folder / "digits.ekg")


def show(report: dict[str, Any]) -> None:
    """The steps, and what the file is like."""
    print(f"\n{'step':<12}{'MACs':>22}{'parameters':>18}{'top-1':>20}")
    for step in report["history"]:
        macs, parameters = ("{:,} > {:,}".format(*step[key]) for key in ("macs", "parameters"))
        before, after = step["metrics"]["top1"]
        print(f"{step['step']:<12}{macs:>22}{parameters:>18}{f'{before:.2%} > {after:.2%}':>20}")
    (top1,) = (row for row in report["evaluation"] if row["metric"] == "top1")
    size, accuracy, full = report["artifact"]["bytes"], top1["artifact"], top1["source"]
    print(f"\nint8 file: {size:,} bytes, top-1 {accuracy:.2%} (the full network: {full:.2%})")


def main() -> int:
    """Run the example; the exit code is that of `edgekit build`."""
    torch.set_num_threads(1)  # layers this small gain nothing from more
    prepare(FOLDER / "generated")
    code = subprocess.run([sys.executable, "-m", "edgekit", "build"], cwd=FOLDER).returncode
    if code == 0:
        show(json.loads((FOLDER / "edgekit-out" / "tflite-int8" / "report.json").read_text()))
    return code


if __name__ == "__main__":
    sys.exit(main())
