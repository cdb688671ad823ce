"""Train the digit network on scikit-learn's bundled digits, and write what a build needs into ``generated/``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional

from examples.digits.net import DigitNet

FOLDER = Path(__file__).parent / "generated"


def train(folder: Path = FOLDER, *, epochs: int = 15, seed: int = 0) -> float:
    """Write ``weights.pt``, ``calibration.npz`` (256 training images) and ``test.npz``; returns the accuracy on the latter."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # convolutions this small gain nothing from more, and lose much where others want the cores
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.25, random_state=seed, stratify=digits.target)
    model = DigitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    inputs, labels = torch.tensor(x), torch.tensor(y)
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(64):
            loss = functional.cross_entropy(model(inputs[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        accuracy = float((model(torch.tensor(x_test)).argmax(1).numpy() == y_test).mean())
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "weights.pt")
    np.savez(folder / "calibration.npz", x=x[:256])
    np.savez(folder / "test.npz", x=x_test, y=y_test)
    return accuracy


if __name__ == "__main__":
    print(f"accuracy on held-out digits: {train():.2%}")
