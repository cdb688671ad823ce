"""How a graph was quantised, as plain data: ranges, equalised layers, learned rounding, and what each layer alone costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantising one layer alone does: its weights and its output in integers, all other layers in float.

    Attributes:
        name: of its first output.
        label: what a reader knows it by: its module in the source, else its name.
        op: the op's name in edgekit's table.
        dtype: the integers of its weight, else of its output.
        sqnr_db: of the model's output against the float graph's.
        metrics: the user's metrics of such a model, by name; empty where there was nothing to evaluate with.
    """

    name: str
    label: str
    op: str
    dtype: str
    sqnr_db: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SensitivityInfo:
    """All layers, in the order of the graph.

    Attributes:
        layers: one row a layer that rounds anything.
        samples: that the SQNR was taken on.
        metric_samples: that the metrics were taken on; 0 where there are none, None where the user's callable chose.
        metrics: of the float graph on the same samples.
    """

    layers: tuple[LayerSensitivity, ...]
    samples: int
    metric_samples: int | None = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EqualizedPair:
    """Two layers between which scale moved.

    Attributes:
        first, second: what a reader knows them by.
        channels: between them.
        scales: the smallest and the largest.
        spread_before, spread_after: largest range of an output channel of the first layer, relative to the median.
    """

    first: str
    second: str
    channels: int
    scales: tuple[float, float]
    spread_before: float
    spread_after: float


@dataclass(frozen=True)
class RoundedLayer:
    """What learning to round came to.

    Attributes:
        weight: its name.
        nearest, learned: mean squared error of the layer's output on samples that were not learned from, relative to its mean
            square.
        changed: share of the weights that were rounded the other way.
        kept: the learned rounding was taken.
    """

    weight: str
    nearest: float
    learned: float
    changed: float
    kept: bool


@dataclass(frozen=True)
class LinearScales:
    """One linear layer, where it was chosen whether its channels share a scale.

    Attributes:
        weight: its name.
        channels: at its output.
        shared: all channels have one scale.
        own_db, shared_db: the weight's rounding alone at the model's output, relative to the signal, with a scale for each
            channel and with one for all.
    """

    weight: str
    channels: int
    shared: bool
    own_db: float
    shared_db: float


@dataclass(frozen=True)
class SharedScalesInfo:
    """The choice which linear layers have one scale for all channels.

    Attributes:
        layers: in the order of the graph; none where the output is too noisy to share anything.
        own_sqnr_db, sqnr_db: of the model's output on the calibration data, with a scale for each channel throughout, and as
            it was chosen.
        saved: bytes of scales and zero points.
    """

    layers: tuple[LinearScales, ...]
    own_sqnr_db: float
    sqnr_db: float
    saved: int


@dataclass(frozen=True)
class PricedLayer:
    """One layer with a weight, and what its types cost.

    Attributes:
        layer: the name of its weight.
        weights, activations: what they are held in.
        bytes: of its weight, bias and scales.
        int8_bytes: what they would be in int8.
        slowdown: times int8's instructions, on the emulated core where it is most; None where that was not counted.
    """

    layer: str
    weights: str
    activations: str
    bytes: int
    int8_bytes: int
    slowdown: float | None


@dataclass(frozen=True)
class PrecisionsInfo:
    """The types of all layers, where some are not int8.

    Attributes:
        layers: in the order of the graph.
        slower: how many of them take more instructions than in int8, or an amount that was not counted.
        asked: the budget or fall-back that they were chosen for; None where target and settings named them.
        drop: of the metric in percentage points while choosing; None where that was not measured.
        tried: plans that were measured.
    """

    layers: tuple[PricedLayer, ...]
    slower: int
    asked: str | None = None
    drop: float | None = None
    tried: int = 0


@dataclass(frozen=True)
class QuantizationInfo:
    """How the graph of one artifact was quantised.

    Attributes:
        observer: as it was asked for; "none" where no range was chosen, as for integers that were trained.
        observers: how many activations got their range from which; more than one kind under "auto".
        bias_corrected: how many layers' biases took up their mean error.
        rounding: one row a layer, where rounding was learned.
        equalized: one row a pair of layers, where that was asked for.
        not_equalized: layers from which no scale moved, and why.
        sensitivity: what each layer alone costs, where that was asked for.
        precisions: what each layer is held in and what that costs, where some are not int8.
        shared_scales: which linear layers have one scale for all channels, where scales were much of the file.
    """

    observer: str
    observers: Mapping[str, int] = field(default_factory=dict)
    bias_corrected: int = 0
    rounding: tuple[RoundedLayer, ...] = ()
    equalized: tuple[EqualizedPair, ...] = ()
    not_equalized: Mapping[str, str] = field(default_factory=dict)
    sensitivity: SensitivityInfo | None = None
    precisions: PrecisionsInfo | None = None
    shared_scales: SharedScalesInfo | None = None
