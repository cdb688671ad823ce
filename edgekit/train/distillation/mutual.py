"""Deep mutual learning: networks that train together and learn from each other's predictions.

Formula: L_k = (1 / (K - 1)) * sum_{l != k} (1 / N) * sum_n KL(p_l || p_k), at temperature 1, added to network k's own loss. The
peers' predictions are constants for network k, and are those after their own latest update.
Source: Zhang, Xiang, Hospedales, Lu 2018, arXiv:1706.00384, equations 3 to 9 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgekit.train.distillation.soft_targets import binary_soft_target_loss, soft_target_loss


def mutual_loss(own: Tensor, peers: Tensor | Sequence[Tensor], *, axis: int = 1) -> Tensor:
    """The mean divergence of a network's prediction from its peers', for outputs that choose one of several classes.

    Args:
        own: the network's logits (N, classes), or with further axes.
        peers: logits of the same shape of the other networks; no gradient flows into them.
        axis: of the classes.

    Returns:
        A scalar.

    Raises:
        ValueError: no peer, other shapes, or a single class.
    """
    others = _all(peers)
    return torch.stack([soft_target_loss(own, peer, 1.0, axis=axis) for peer in others]).mean()


def binary_mutual_loss(own: Tensor, peers: Tensor | Sequence[Tensor]) -> Tensor:
    """The same for outputs that end in a sigmoid; logits of any shape."""
    return torch.stack([binary_soft_target_loss(own, peer, 1.0) for peer in _all(peers)]).mean()


def _all(peers: Tensor | Sequence[Tensor]) -> list[Tensor]:
    others = [peers] if isinstance(peers, Tensor) else list(peers)
    if not others:
        raise ValueError("mutual learning needs another network")
    return others
