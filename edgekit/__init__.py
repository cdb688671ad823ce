"""edgekit: trained models made small, fast and verified for phones, watches, single-board computers and micro-controllers.

The public door. Names are looked up on first use, so that ``import edgekit`` loads neither torch nor numpy nor a runtime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgekit.errors import (
    ConfigError,
    DeviceError,
    EdgekitError,
    Inconclusive,
    InputError,
    OutputError,
    OverBudget,
    ParityError,
    Unsupported,
    UsageError,
)

if TYPE_CHECKING:
    from edgekit.comparison import compare
    from edgekit.compress.binarize import Binarize
    from edgekit.compress.cluster import Cluster
    from edgekit.compress.controls import Controls
    from edgekit.compress.distill import BornAgain, MutualLearning, TeacherAssistant
    from edgekit.compress.early_exit import EarlyExit, Head
    from edgekit.compress.equalize import Equalize
    from edgekit.compress.fine_tune import FineTune
    from edgekit.compress.lottery import LotteryTicket, Supermask
    from edgekit.compress.low_rank import LowRank
    from edgekit.compress.prune import Prune
    from edgekit.compress.qat import QAT
    from edgekit.compress.recipe import Recipe
    from edgekit.compress.separable import Separable
    from edgekit.compress.slimmable import Slim, Slimmable
    from edgekit.compress.slimmable.extraction import slimmed
    from edgekit.compress.sparsify import Sparsify
    from edgekit.data import Data
    from edgekit.flow import build
    from edgekit.frontend.source import load
    from edgekit.ir.graph import Graph
    from edgekit.ir.quant import QuantParams
    from edgekit.packing import pack, unpack
    from edgekit.report import Report
    from edgekit.runtime.artifact import run
    from edgekit.runtime.stream import Stream
    from edgekit.stream_settings import Streaming
    from edgekit.streaming import to_frames
    from edgekit.target import Device, Target
    from edgekit.train import Training
    from edgekit.train.distillation import Distillation, Hint

__version__ = "0.1.0"

#: Public name -> the module that defines it. No module may be called like a public function (a test looks).
_HOME = {
    "Binarize": "edgekit.compress.binarize",
    "BornAgain": "edgekit.compress.distill",
    "Controls": "edgekit.compress.controls",
    "Cluster": "edgekit.compress.cluster",
    "Data": "edgekit.data",
    "Device": "edgekit.target",
    "Distillation": "edgekit.train.distillation",
    "EarlyExit": "edgekit.compress.early_exit",
    "Equalize": "edgekit.compress.equalize",
    "FineTune": "edgekit.compress.fine_tune",
    "Graph": "edgekit.ir.graph",
    "Head": "edgekit.compress.early_exit",
    "Hint": "edgekit.train.distillation",
    "LotteryTicket": "edgekit.compress.lottery",
    "LowRank": "edgekit.compress.low_rank",
    "MutualLearning": "edgekit.compress.distill",
    "Prune": "edgekit.compress.prune",
    "QAT": "edgekit.compress.qat",
    "QuantParams": "edgekit.ir.quant",
    "Recipe": "edgekit.compress.recipe",
    "Report": "edgekit.report",
    "Separable": "edgekit.compress.separable",
    "Slim": "edgekit.compress.slimmable",
    "Slimmable": "edgekit.compress.slimmable",
    "Sparsify": "edgekit.compress.sparsify",
    "Stream": "edgekit.runtime.stream",
    "Streaming": "edgekit.stream_settings",
    "Supermask": "edgekit.compress.lottery",
    "Target": "edgekit.target",
    "TeacherAssistant": "edgekit.compress.distill",
    "Training": "edgekit.train",
    "build": "edgekit.flow",
    "compare": "edgekit.comparison",
    "load": "edgekit.frontend.source",
    "pack": "edgekit.packing",
    "run": "edgekit.runtime.artifact",
    "to_frames": "edgekit.streaming",
    "slimmed": "edgekit.compress.slimmable.extraction",
    "unpack": "edgekit.packing",
}

__all__ = [
    "QAT",
    "Binarize",
    "BornAgain",
    "Cluster",
    "ConfigError",
    "Controls",
    "Data",
    "Device",
    "DeviceError",
    "Distillation",
    "EarlyExit",
    "EdgekitError",
    "Equalize",
    "FineTune",
    "Graph",
    "Head",
    "Hint",
    "Inconclusive",
    "InputError",
    "LotteryTicket",
    "LowRank",
    "MutualLearning",
    "OutputError",
    "OverBudget",
    "ParityError",
    "Prune",
    "QuantParams",
    "Recipe",
    "Report",
    "Separable",
    "Slim",
    "Slimmable",
    "Sparsify",
    "Stream",
    "Streaming",
    "Supermask",
    "Target",
    "TeacherAssistant",
    "Training",
    "Unsupported",
    "UsageError",
    "__version__",
    "build",
    "compare",
    "load",
    "pack",
    "run",
    "slimmed",
    "to_frames",
    "unpack",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first used."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
