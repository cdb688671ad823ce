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
    StageFile,
    Verification,
)
from edgekit.report.quantization import (
    EqualizedPair,
    LayerSensitivity,
    PrecisionsInfo,
    PricedLayer,
    QuantizationInfo,
    RoundedLayer,
    SensitivityInfo,
)
from edgekit.report.stream_info import StreamInfo

__all__ = [
    "ArtifactInfo",
    "BudgetCheck",
    "Declined",
    "EqualizedPair",
    "Evaluation",
    "GraphSummary",
    "IoInfo",
    "IoTensor",
    "Layer",
    "LayerSensitivity",
    "PassInfo",
    "PrecisionsInfo",
    "PricedLayer",
    "QuantizationInfo",
    "Report",
    "RoundedLayer",
    "SensitivityInfo",
    "SourceInfo",
    "StageFile",
    "StreamInfo",
    "Verification",
]
