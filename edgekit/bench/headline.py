"""The one figure that a benchmark is read by, and that stops it, compares it and gates a build.

On a device it is the median: what the device's user waits for. In a burst on a host it is the undisturbed latency, the lower
quartile of the launches' fastest calls: what the model costs where nothing else runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from edgekit.bench.launch import Launch
from edgekit.bench.statistics import Estimate, Estimator, estimate


class Headline(Enum):
    """Which figure of a launch, and which percentile over launches."""

    MEDIAN = "median"
    UNDISTURBED = "undisturbed"

    @property
    def estimator(self) -> Estimator:
        """The percentile over launches."""
        return Estimator.MEDIAN if self is Headline.MEDIAN else Estimator.LOWER_QUARTILE

    def of(self, launches: Sequence[Launch]) -> list[float]:
        """Every launch's figure, in microseconds."""
        return [launch.median_us if self is Headline.MEDIAN else launch.fastest_us for launch in launches]

    def estimate(self, launches: Sequence[Launch]) -> Estimate:
        """The figure with its 95 % interval."""
        return estimate(self.of(launches), self.estimator)
