"""What loading, passes and pruning of large networks cost: beside ``torch.export``, and beside torch-pruning.

    pip install --no-deps --target PEER torch-pruning==1.6.1
    python -m benchmarks.step_speed --peer PEER [--rounds 3] [--quick]

Both sides of a ratio run in turn in one process with one thread, in seconds of CPU time; medians over rounds of the ratio
within a round. Pruning takes half of the channels of each layer by their L1 norm, from the module on: edgekit's side loads it
(which is mostly ``torch.export``), prunes, and compares the result with its masked original; torch-pruning's traces it and
prunes.
Without ``--peer`` that comparison is left out. ``--quick`` takes a small network, one round, and records nothing.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

import edgekit as ek
from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.zoo.densenet import densenet
from edgekit.passes import EXACT, run_passes

#: Blocks of DenseNets: growth 32, for pictures of 32 x 32.
SMALL = {"DenseNet-12": (2, 2)}
NETWORKS = {**SMALL, "DenseNet-121": (6, 12, 24, 16), "DenseNet-201": (6, 12, 48, 32)}

Row = dict[str, Any]


def main() -> int:
    """Measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="folder that torch-pruning was installed into")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.peer is not None:
        if not (options.peer / "torch_pruning").is_dir():
            parser.error(f"{options.peer} holds no torch_pruning: pip install --no-deps --target {options.peer} torch-pruning")
        sys.path.append(str(options.peer))
    elif not options.quick:
        parser.error("figures are recorded with the peer beside them: name --peer, or --quick")
    torch.set_num_threads(1)
    measure("warm", SMALL["DenseNet-12"], 1, options.peer)  # what is imported and cached once
    found = SMALL if options.quick else NETWORKS
    rows = [measure(name, blocks, 1 if options.quick else options.rounds, options.peer) for name, blocks in found.items()]
    checks = [check for row in rows for check in _checks(row)]
    if not options.quick:
        versions = {name: metadata.version(name) for name in ("torch", "torch-pruning")}
        machine = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
        record("step_speed", {"machine": machine, "versions": versions, "rounds": options.rounds, "rows": rows}, checks)
        into_readme("step-speed", _lines(rows, versions, options.rounds))
    return conclude(checks)


def measure(name: str, blocks: Sequence[int], rounds: int, peer: Path | None) -> Row:
    """Seconds of all sides (medians over rounds) and their ratios (medians of the ratios within a round)."""
    torch.manual_seed(0)
    module, example = densenet(32, blocks, 10).eval(), (torch.zeros(2, 3, 32, 32),)
    batch = torch.export.Dim("batch")
    seconds: dict[str, list[float]] = {}

    def timed(side: str, run: Callable[[], Any]) -> Any:
        gc.collect()  # a trace leaves much behind, which the next one would be charged for
        begin = time.process_time()
        made = run()
        seconds.setdefault(side, []).append(time.process_time() - begin)
        return made

    row: Row = {"network": name}
    for number in range(rounds):
        timed("export", lambda: torch.export.export(module, example, dynamic_shapes=({0: batch},)))
        graph = timed("load", lambda: ek.load(module, example))
        timed("passes", partial(run_passes, graph, EXACT))
        small = timed("prune", partial(ek.Prune(ratio=0.5, criterion="l1").apply, graph))
        row |= {"nodes": len(graph.nodes), "macs": graph.macs, "pruned": small.macs}
        if peer is not None:
            theirs = timed("peer", lambda: _by_peer(copy.deepcopy(module), example[0]))
            row["peer_pruned"] = ek.load(theirs, example).macs
        print(f"  {number + 1}/{rounds} {name}: " + ", ".join(f"{k} {v[-1]:.2f} s" for k, v in seconds.items()), flush=True)
    row["seconds"] = {side: statistics.median(found) for side, found in seconds.items()}
    over = {"load / export": ("load", "export"), "passes / export": ("passes", "export"), "prune / export": ("prune", "export")}
    row["ratios"] = {
        figure: statistics.median(a / b for a, b in zip(seconds[one], seconds[other], strict=True))
        for figure, (one, other) in over.items()
    }
    if peer is not None:
        both = zip(seconds["load"], seconds["prune"], seconds["peer"], strict=True)
        row["ratios"]["load + prune / torch-pruning"] = statistics.median((a + b) / c for a, b, c in both)
    return row


def _by_peer(module: nn.Module, example: torch.Tensor) -> nn.Module:
    """The module, pruned in place by torch-pruning."""
    torch_pruning: Any = import_module("torch_pruning")  # from the folder that --peer names
    pruner = torch_pruning.pruner.MagnitudePruner(
        module,
        example,
        importance=torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=0.5,
        ignored_layers=[layer for layer in module.modules() if isinstance(layer, nn.Linear)],
    )
    pruner.step()
    return module


#: Bars of the ratios. Of networks whose trace takes most of the time the peer, which traces in eager mode, is the faster.
_BARS = {"load / export": 1.25, "passes / export": 0.1, "prune / export": 0.6}
_LARGE = {"load + prune / torch-pruning": 0.5}


def _checks(row: Row) -> list[Check]:
    bars = _BARS | (_LARGE if row["network"] == "DenseNet-201" else {})
    return [
        Check(row["network"], figure, row["ratios"][figure], bar, "<=")
        for figure, bar in bars.items()
        if figure in row["ratios"]
    ]


def _lines(rows: Sequence[Row], versions: dict[str, str], rounds: int) -> list[str]:
    shown = [
        {
            "network": row["network"],
            "nodes": str(row["nodes"]),
            "`torch.export` s": f"{row['seconds']['export']:.2f}",
            "load / export": f"{row['ratios']['load / export']:.2f}",
            "exact passes / export": f"{row['ratios']['passes / export']:.3f}",
            "prune / export": f"{row['ratios']['prune / export']:.2f}",
            "torch-pruning s": f"{row['seconds']['peer']:.2f}",
            "load + prune / torch-pruning": f"{row['ratios']['load + prune / torch-pruning']:.2f}",
            "MACs left": f"{100 * row['pruned'] / row['macs']:.1f} %",
            "by torch-pruning": f"{100 * row['peer_pruned'] / row['macs']:.1f} %",
        }
        for row in rows
    ]
    peers = f"torch {versions['torch']}, torch-pruning {versions['torch-pruning']}"
    return [*table(shown), "", f"Medians of {rounds} rounds, CPU time, one thread; {peers}."]


if __name__ == "__main__":
    sys.exit(main())
