"""Train the wake-word network on windows, and write what a build needs into ``generated/``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from examples.wake_word.net import WakeWordNet
from examples.wake_word.sounds import windows

FOLDER = Path(__file__).parent / "generated"


def train(folder: Path = FOLDER, *, epochs: int = 8, seed: int = 0) -> float:
    """Write ``weights.pt``, ``calibration.npz`` (256 training windows) and ``test.npz``; returns the accuracy on the latter."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    x, y = windows(2000, seed=1)
    x_test, y_test = windows(500, seed=2)
    model = WakeWordNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    inputs, labels = torch.tensor(x), torch.tensor(y)
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(50):
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
    print(f"accuracy on held-out windows: {train():.2%}")
