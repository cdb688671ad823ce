"""Cost of pruning large graphs."""

from __future__ import annotations

import time

import torch

from edgekit.compress.prune import Prune
from tests.compress.prune.networks import densenet

torch.set_num_threads(1)


def cpu_seconds(blocks: tuple[int, ...]) -> tuple[int, float]:
    graph = densenet(blocks)
    started = time.process_time()
    small = Prune(ratio=0.5, criterion="l1").apply(graph)
    seconds = time.process_time() - started
    assert small.history[-1].removed and small.macs < 0.3 * graph.macs
    return len(graph.nodes), seconds


def test_a_densenet_201_takes_less_than_five_cpu_seconds_and_cost_grows_with_nodes() -> None:
    nodes_121, seconds_121 = cpu_seconds((6, 12, 24, 16))
    nodes_201, seconds_201 = cpu_seconds((6, 12, 48, 32))
    assert (nodes_121, nodes_201) == (423, 703)
    assert seconds_201 < 5
    # The channels that a concat of a dense block reads grow with the block, so a little more than linear is the network's.
    assert seconds_201 / nodes_201 < 2.5 * seconds_121 / nodes_121
