"""What a build did and measured: as data, as ``report.json``, on a terminal and as a page."""

from edgekit.report.model import (
    ArtifactInfo,
    BudgetCheck,
    Declined,
    Evaluation,
    GraphSummary,
    IoInfo,
    IoTensor,
    Layer,
    PassInfo,
    Report,
    SourceInfo,
    Verification,
)

__all__ = [
    "ArtifactInfo",
    "BudgetCheck",
    "Declined",
    "Evaluation",
    "GraphSummary",
    "IoInfo",
    "IoTensor",
    "Layer",
    "PassInfo",
    "Report",
    "SourceInfo",
    "Verification",
]
