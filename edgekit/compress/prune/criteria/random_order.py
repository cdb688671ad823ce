"""The control."""

from __future__ import annotations

import numpy as np

from edgekit.compress.prune.criteria.table import Evidence, NotDefined, Scores, criterion
from edgekit.compress.prune.groups import Group


@criterion("random")
def random_order(groups: list[Group], evidence: Evidence) -> list[Scores | NotDefined]:
    """Uniform numbers of the step's seed: what every other criterion must beat."""
    generator = np.random.default_rng(evidence.seed)
    return [generator.random(len(group)) for group in groups]
