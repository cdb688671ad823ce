"""The choice between the answers of a network's exits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from edgekit.ir.ops.base import Op, same_type
from edgekit.ir.types import TensorType

#: How sure an exit is of its answer. All grow with certainty and lie between 0 and 1.
SCORES = ("confidence", "entropy", "margin")


def certainty(logits: torch.Tensor, score: str, temperature: float = 1.0) -> torch.Tensor:
    """How sure logits (N, classes) are, (N, 1) in float32, with p = softmax(logits / temperature).

    "confidence" is max p; "margin" is the largest p minus the second largest; "entropy" is 1 - H(p) / log(classes), the entropy
    of BranchyNet (arXiv:1709.01686) turned so that 1 is certain.
    """
    scaled = logits.float() * (1.0 / temperature)
    if score == "entropy":
        logs = torch.log_softmax(scaled, -1)
        return 1.0 + (logs.exp() * logs).sum(-1, keepdim=True) / math.log(logits.shape[-1])
    p = torch.softmax(scaled, -1)
    if score == "confidence":
        return p.amax(-1, keepdim=True)
    best = p.topk(2, -1).values
    return best[..., :1] - best[..., 1:]


@dataclass(frozen=True)
class ChooseExit(Op):
    """For each sample the logits of the first exit that is sure enough, else those of the last.

    Inputs are the logits (N, classes) of all exits in order, the last one that of the whole network. Exit i answers where
    ``certainty(logits, score, temperatures[i]) > thresholds[i]``, in float32. In training and in simulation all exits are
    computed; exported files stop at the one that answers. A threshold of 1 closes an exit.
    """

    inputs = ("*exits",)
    score: str
    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"score {self.score!r}: {', '.join(SCORES)}")
        if len(self.temperatures) != len(self.thresholds) or any(not t > 0 for t in self.temperatures):
            raise ValueError("one positive temperature for each threshold")

    def passes(self, logits: torch.Tensor, index: int) -> torch.Tensor:
        """Where exit ``index`` is sure enough of its real logits, (N, 1)."""
        sure = certainty(logits, self.score, self.temperatures[index])
        return sure > torch.tensor(self.thresholds[index], dtype=sure.dtype, device=sure.device)

    def choose(self, real: tuple[torch.Tensor, ...], held: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Rows of ``held`` (what stands for the logits) by the certainty of ``real``."""
        result = held[-1]
        for index in reversed(range(len(self.thresholds))):
            result = torch.where(self.passes(real[index], index), held[index], result)
        return result

    def run(self, *exits: torch.Tensor, **_: Any) -> torch.Tensor:
        return self.choose(exits, exits)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        given = [t for t in types if t is not None]
        if len(given) != len(self.thresholds) + 1:
            raise ValueError(f"{len(given)} exits, {len(self.thresholds)} thresholds: the last exit has none")
        if any(t != given[0] for t in given) or given[0].rank != 2:
            raise ValueError(f"exits must give logits (N, classes) of one type, not {', '.join(str(t) for t in given)}")
        return same_type(self, *types)
