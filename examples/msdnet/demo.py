"""Train a multi-scale dense network with two early exits on handwritten digits, and build an int8 file that decides."""

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

FOLDER = Path(__file__).parent


def prepare(folder: Path) -> None:
    """Writes ``train.npz`` and ``test.npz``."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.25, random_state=0, stratify=digits.target)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "train.npz", x=x, y=y)
    np.savez(folder / "test.npz", x=x_test, y=y_test)


def show(report: dict[str, Any]) -> None:
    """Who leaves where, and what that saves."""
    found = report["history"][-1]["details"]["evaluation"]
    print(f"\n{'exit':<20}{'MACs':>12}{'leave':>10}{'top-1 alone':>14}")
    for row in found["exits"]:
        print(f"{row['name']:<20}{row['macs']:>12,}{row['rate']:>10.1%}{row['top1_alone']:>14.2%}")
    (top1,) = (row for row in report["evaluation"] if row["metric"] == "top1")
    print(f"\nint8 file: {report['artifact']['bytes']:,} bytes, top-1 {top1['artifact']:.2%};", end=" ")
    print(f"a digit costs {found['cost']['mean']:.1%} of the whole network in the mean")


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
