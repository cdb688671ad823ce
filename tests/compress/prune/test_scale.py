"""Cost of pruning large graphs."""

from __future__ import annotations

import torch

from edgekit.compress.prune import Prune
from tests.compress.prune.networks import densenet
from tests.effort import calls

torch.set_num_threads(1)


def effort(blocks: tuple[int, ...]) -> tuple[int, int]:
    """Nodes, and calls for pruning them."""
    graph = densenet(blocks)
    made = []
    count = calls(lambda: made.append(Prune(ratio=0.5, criterion="l1").apply(graph)))
    (small,) = made
    assert small.history[-1].removed and small.macs < 0.3 * graph.macs
    return len(graph.nodes), count


def test_the_cost_of_a_densenet_grows_with_its_nodes() -> None:
    effort((2, 2))  # what is imported and cached once
    nodes_121, calls_121 = effort((6, 12, 24, 16))
    nodes_201, calls_201 = effort((6, 12, 48, 32))
    assert (nodes_121, nodes_201) == (423, 703)
    assert calls_201 < 2_000_000  # 1.43 million took two seconds of one core
    # The channels that a concat of a dense block reads grow with the block, so a little more than linear is the network's.
    assert calls_201 / nodes_201 < 1.3 * calls_121 / nodes_121
