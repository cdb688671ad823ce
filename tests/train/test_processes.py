"""Two processes share a training: the same weights in both, and those of one process with twice the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.ir.file import load
from edgekit.train import Training
from edgekit.train.loop import train
from tests.train.networks import blobs, graph_of, same, tensors

REPOSITORY = Path(__file__).resolve().parents[2]

_SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from accelerate import PartialState
from edgekit.ir.file import load
from edgekit.train import Training
from edgekit.train.loop import train
from tests.train.networks import blobs

folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
settings = Training(epochs=epochs, batch_size=8, optimizer="sgd", lr=0.05, validation=0.0, schedule="constant")
trained = train(load(folder / "net.ekg"), blobs(), settings, folder=folder / f"work-{epochs}", save_every=0.0)
rank = PartialState().process_index
assert PartialState().num_processes == 2
trained.graph.save(folder / f"{epochs}-rank-{rank}.ekg")
print("metrics", trained.epochs[-1].training, trained.epochs[-1].validation, trained.resumed_from)
"""


_WIDTHS = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from accelerate import PartialState
import edgekit as ek
from edgekit.ir.file import load
from tests.train.networks import blobs

folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
settings = ek.Training(epochs=epochs, batch_size=8, optimizer="sgd", lr=0.05, validation=0.0, schedule="constant")
step = ek.Slimmable(widths=(0.5, 1.0), sandwich=0, training=settings)
slimmable = step.apply(load(folder / "net.ekg"), ek.Data(train=blobs()))
rank = PartialState().process_index
assert PartialState().num_processes == 2
slimmable.save(folder / f"widths-rank-{rank}.ekg")
print("metrics", slimmable.history[-1].details["batches"])
"""


def launched(folder: Path, epochs: int, script: str = _SCRIPT) -> list[str]:
    (folder / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "script.py", str(folder), str(epochs)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("metrics")]


@pytest.mark.slow
def test_two_processes_train_what_one_does_with_twice_the_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 4))  # no statistics of a batch
    graph = graph_of(module, (1, 1, 8, 8))
    graph.save(tmp_path / "net.ekg")
    first, second = launched(tmp_path, 3)
    assert first == second
    one, other = (load(tmp_path / f"3-rank-{rank}.ekg") for rank in (0, 1))
    assert same(one, other)
    settings = Training(epochs=3, batch_size=16, optimizer="sgd", lr=0.05, validation=0.0, schedule="constant")
    alone = train(graph, blobs(), settings)
    for name, tensor in tensors(alone.graph).items():
        torch.testing.assert_close(tensors(one)[name], tensor, rtol=1e-4, atol=1e-5)
    again = launched(tmp_path, 3)  # all was done: both processes take it from the checkpoint
    assert all(line.endswith(" 18") for line in again)


@pytest.mark.slow
def test_two_processes_teach_each_size_batches_of_its_own_as_one_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 4))
    graph = graph_of(module, (1, 1, 8, 8))
    graph.save(tmp_path / "net.ekg")
    first, second = launched(tmp_path, 3, _WIDTHS)
    assert first == second and "own" in first
    one, other = (load(tmp_path / f"widths-rank-{rank}.ekg") for rank in (0, 1))
    assert same(one, other)
    settings = Training(epochs=3, batch_size=16, optimizer="sgd", lr=0.05, validation=0.0, schedule="constant")
    alone = ek.Slimmable(widths=(0.5, 1.0), sandwich=0, training=settings).apply(graph, ek.Data(train=blobs()))
    for name, tensor in tensors(alone).items():
        torch.testing.assert_close(tensors(one)[name], tensor, rtol=1e-4, atol=1e-5)
