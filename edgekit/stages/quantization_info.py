"""The report's account of how a graph was quantised."""

from __future__ import annotations

import dataclasses
from collections import Counter

from edgekit.compress.mixed_precision.granularity import Granularity
from edgekit.compress.quantize.post_training import PostTraining
from edgekit.config import QuantizationSettings
from edgekit.report import EqualizedPair, LinearScales, QuantizationInfo, RoundedLayer, SensitivityInfo, SharedScalesInfo
from edgekit.stages.precision import Lowered
from edgekit.stages.priced import precisions_info


def quantization_info(
    lowered: Lowered, settings: QuantizationSettings, sensitivity: SensitivityInfo | None, runtime: str
) -> QuantizationInfo | None:
    """None for a graph that was not quantised after training."""
    record, moved = lowered.quantization, lowered.equalization
    if record is None or lowered.graph is lowered.float_graph:
        return None
    return QuantizationInfo(
        observer=(settings.observer or PostTraining().observer) if record.observers else "none",
        observers=dict(Counter(record.observers.values())),
        bias_corrected=len(record.corrected),
        rounding=tuple(RoundedLayer(**dataclasses.asdict(row)) for row in record.rounded),
        equalized=() if moved is None else tuple(EqualizedPair(**dataclasses.asdict(pair)) for pair in moved.pairs),
        not_equalized={} if moved is None else dict(moved.declined),
        sensitivity=sensitivity,
        precisions=precisions_info(lowered, settings, runtime),
        shared_scales=None if lowered.granularity is None else _shared_scales(lowered.granularity),
    )


def _shared_scales(chosen: Granularity) -> SharedScalesInfo:
    rows = (LinearScales(row.layer, row.channels, row.shared, row.own_noise_db, row.shared_noise_db) for row in chosen.layers)
    return SharedScalesInfo(tuple(rows), chosen.own_sqnr_db, chosen.sqnr_db, chosen.saved)
